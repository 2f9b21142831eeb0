"""From acceleration to displacement, and into the echo."""

import numpy as np
import pytest
import torch

from vivavoce.errors import UserError
from vivavoce.features.accelerometer import Sensor, accelerometer_of, displacement, read_displacement
from vivavoce.features.front_end import FrontEndConfig, Wave, batch_features
from vivavoce.signal.echo import EchoConfig
from vivavoce.signal.quality import ProbeQuality
from vivavoce.simulate.posture import SWAY_HZ, band_noise

FINE = ProbeQuality(True, -30.0, 40.0, "")


def test_twice_integrated_is_where_the_phone_was():
    time_s = np.arange(1000) / 200
    angular = 2 * np.pi * 1.5
    acceleration = np.zeros((1000, 3))
    acceleration[:, 1] = -1e-3 * angular**2 * np.cos(angular * time_s) + 0.3  # 1 mm at 1.5 Hz, and a bias
    way = displacement(acceleration, 200.0, 1500)
    expected = 1e-3 * np.cos(angular * np.arange(1500) / 300)
    assert np.corrcoef(way[300:-300, 1], expected[300:-300])[0, 1] > 0.99
    assert way[300:-300, 1].std() == pytest.approx(expected.std(), rel=0.1)
    assert np.abs(way[:, 0]).max() < 1e-9


@pytest.mark.parametrize("seconds", [3, 6, 12])
def test_sway_is_followed_through_the_noise_of_a_phones_sensor(seconds):
    rng = np.random.default_rng(0)
    fine = band_noise(rng, 600 * seconds + 2, 600, SWAY_HZ, 1e-3)
    acceleration = (np.diff(fine, 2, axis=0) * 600**2)[::3]
    acceleration += 0.05 * rng.standard_normal(3) + 2e-3 * np.sqrt(100) * rng.standard_normal(acceleration.shape)
    truth = fine[1:-1:2] - fine[1:-1:2].mean(axis=0)
    way = displacement(acceleration, 200.0, len(truth))
    assert (way - truth).std() < 0.5 * truth.std()


def test_a_phone_that_knows_its_place_is_believed(tmp_path):
    path, place = tmp_path / "a.accel.npz", np.cumsum(np.ones((600, 3)), axis=0) * 1e-5
    np.savez(path, rate_hz=300.0, displacement=place)
    assert np.allclose(read_displacement(path, 0.0, 1.5), place[:451])


def write(path, frames=400, **other):
    np.savez(path, **({"rate_hz": 200.0, "acceleration": np.random.default_rng(0).normal(0, 0.1, (frames, 3))} | other))
    return path


def test_a_span_of_the_file(tmp_path):
    path = write(accelerometer_of(tmp_path / "a.wav"))
    assert path.name == "a.accel.npz"
    whole = read_displacement(path, 0.0, 2.0)
    part = read_displacement(path, 0.5, 1.0)
    assert whole.shape == (601, 3)
    assert part.shape == (301, 3)
    # The ends are mirrored, so that near them the slow part differs a little.
    assert np.corrcoef(np.diff(whole[150:451, 0]), np.diff(part[:, 0]))[0, 1] > 0.9


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda path: path.write_bytes(b"nothing"), "cannot be read"),
        (lambda path: np.savez(path, rate_hz=200.0), "cannot be read"),
        (lambda path: write(path, acceleration=np.zeros((400, 2))), "must hold acceleration"),
        (lambda path: write(path, acceleration=np.full((400, 3), np.nan)), "must hold acceleration"),
        (lambda path: write(path, frames=100), "ends after 0.50 s"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, make, part):
    path = tmp_path / "a.accel.npz"
    make(path)
    with pytest.raises(UserError, match=part):
        read_displacement(path, 0.0, 2.0)


def test_the_front_end_reads_it_only_where_it_is_asked_to(tmp_path):
    wave = np.random.default_rng(1).normal(0, 0.01, 48_000).astype(np.float32)
    time_s = np.arange(48_000) / 48_000
    wave += sum(0.05 * np.cos(2 * np.pi * hertz * time_s) for hertz in (18_200.0, 18_600, 19_000, 19_400))
    heard = Wave(wave, 48_000, (18_200.0, 18_600, 19_000, 19_400), FINE, Sensor(tmp_path / "missing.npz"))
    plain = FrontEndConfig().build()
    batch_features(plain, [heard])
    asked = FrontEndConfig(echo=EchoConfig(compensate="accelerometer")).build()
    with pytest.raises(UserError, match=r"missing\.npz"):
        batch_features(asked, [heard])
    present = Wave(*list(vars(heard).values())[:4], Sensor(write(tmp_path / "a.accel.npz")))
    unmeasured = Wave(*list(vars(heard).values())[:4])
    (_, moved), (_, still) = batch_features(asked, [present, unmeasured])
    ((_, alone),) = batch_features(asked, [unmeasured])
    assert torch.equal(still, alone)
    assert not torch.allclose(moved, still, atol=0.1)
