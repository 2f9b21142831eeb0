"""The echo front end on real phone recordings of a 20 kHz tone with hand and body motion (UltraSense, Galaxy S3)."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from vivavoce.signal.echo import EchoConfig, doppler_spectrogram
from vivavoce.signal.probe import detect_tones, draw_probe, probe_quality

pytestmark = pytest.mark.realdata

Recordings = dict[str, list[tuple[np.ndarray, int]]]


@pytest.fixture(scope="module")
def recordings(shared_data: Path) -> Recordings:
    """Motion (the folder's name) to its recordings."""
    found: Recordings = {}
    for file in sorted((shared_data / "ultrasense20k" / "audio").rglob("*.wav")):
        wave, rate = sf.read(file, dtype="float32", always_2d=True)
        found.setdefault(file.parent.name, []).append((wave[:, 0], rate))
    assert sum(map(len, found.values())) == 37
    return found


def doppler_power(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of the 170 ms Doppler bins and their power over time, relative to the carrier."""
    echo = EchoConfig(dropped_bins=1, floor_dbc=-70).build(rate)
    features, _ = echo(
        torch.tensor(wave)[None], torch.tensor([len(wave)]), torch.tensor([[20_000.0]], dtype=torch.float64)
    )
    levels = features[0, :, echo.groups["doppler_170ms"]].double().numpy()
    return np.asarray(echo.bins_hz[1]), 10 ** (levels / 10) - 1e-7


def approach_db(wave: np.ndarray, rate: int) -> float:
    """Energy of everything that comes nearer against everything that goes away, dB."""
    hz, power = doppler_power(wave, rate)
    return float(10 * np.log10(power[:, hz > 0].sum() / power[:, hz < 0].sum()))


def test_the_one_tone_is_found_in_every_recording(recordings: Recordings) -> None:
    for motion, items in recordings.items():
        for wave, rate in items:
            found = detect_tones(wave, rate)
            assert len(found) == 1, motion
            assert found[0] == pytest.approx(20_000, abs=0.5), motion


def test_the_phones_own_clock_is_the_probes(recordings: Recordings) -> None:
    # DESIGN §5: own clock offset at most 0.03 Hz; a far walker leaves the carrier alone.
    for wave, rate in recordings["walk by kneeheight"]:
        assert detect_tones(wave, rate)[0] == pytest.approx(20_000, abs=0.03)


def test_carrier_and_noise_lie_in_the_published_ranges(recordings: Recordings) -> None:
    # DESIGN §5: carrier -17…-25 dBFS (half a dB for our measure), noise -77…-81 dBc/Hz where no hand is near.
    for motion, items in recordings.items():
        for wave, rate in items:
            quality = probe_quality(wave, rate, (20_000.0,))
            assert quality.present, motion
            assert quality.reason == "", motion
            assert -25.5 < quality.level_dbfs < -16.5, motion
    for wave, rate in recordings["walk by kneeheight"]:
        noise_dbc_hz = -probe_quality(wave, rate, (20_000.0,)).snr_db - 10 * np.log10(140)
        assert -81.5 < noise_dbc_hz < -76.5


def test_a_hand_that_comes_down_to_the_phone_and_one_that_leaves_have_opposite_signs(recordings: Recordings) -> None:
    assert all(approach_db(*item) > 10 for item in recordings["downward"])
    assert all(approach_db(*item) < -10 for item in recordings["upward"])


def test_a_waving_hand_comes_and_goes_alike(recordings: Recordings) -> None:
    assert all(abs(approach_db(*item)) < 5 for item in recordings["wave"])


def test_a_hand_is_stronger_than_a_passer_by(recordings: Recordings) -> None:
    def busiest_db(item: tuple[np.ndarray, int]) -> float:
        return float(10 * np.log10(np.percentile(doppler_power(*item)[1].sum(axis=1), 90)))

    far = max(busiest_db(item) for item in recordings["walk by kneeheight"])
    near = [busiest_db(item) for name in ("strong_motion", "weak_motion", "wave") for item in recordings[name]]
    assert min(near) > far + 5


def test_the_picture_shows_an_approach_at_a_hands_speed(recordings: Recordings) -> None:
    for wave, rate in recordings["downward"]:
        _, hz, db = doppler_spectrogram(wave, rate, (20_000.0,))
        moving = np.abs(hz) > 20
        row, _ = np.unravel_index(db[moving].argmax(), db[moving].shape)
        speed = hz[moving][row] * 343 / 2 / 20_000  # m/s
        assert 0.1 < speed < 1.3


def test_noises_are_no_probe_and_hide_none(shared_data: Path) -> None:
    rng = np.random.default_rng(0)
    false_alarms, files = 0, sorted((shared_data / "noise_esc10").glob("*/*.ogg"))[::4]
    for file in files:
        noise, rate = sf.read(file, dtype="float32", always_2d=True)
        false_alarms += bool(detect_tones(noise[:, 0], rate))
        probe = draw_probe(rng, level_dbfs=-30)
        found = detect_tones(0.3 * noise[:, 0] + probe.waveform(rate, len(noise)), rate)
        np.testing.assert_allclose(found, probe.tones_hz, atol=0.5, err_msg=str(file))
    assert len(files) == 40
    assert false_alarms <= 1  # a few of these clips hold a steady whistle of their own
