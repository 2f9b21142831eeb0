from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from vivavoce.corpus.manifest import read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.simulate import dataset
from vivavoce.simulate.accelerometer import RATE_HZ, acceleration_of, draw_sensor, write_acceleration
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.job import true_phone_motion
from vivavoce.simulate.plan import Corpus, plan
from vivavoce.simulate.recording import FACTOR_RATE_HZ

from .attacks.made import config as clean_config
from .attacks.made import moving_parts, recorded
from .utterances import write_corpus

NONE = dict.fromkeys(SimulationConfig().kinds.model_dump(), 0)
BAND_HZ = (0.5, 2.5)


def config(posture: str = "handheld", accelerometer: bool = True) -> SimulationConfig:
    return SimulationConfig.model_validate(
        {"kinds": NONE | {"live": 1}, "postures": posture, "accelerometer": accelerometer, "posture": {"sway_sigma": 0}}
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    rows, phones = write_corpus(tmp_path_factory.mktemp("corpus"), each=2, seconds=6.0)
    return Corpus(rows, phones, {})


def in_band(track: np.ndarray, rate_hz: float, integrals: int = 0) -> np.ndarray:
    """Keep 0.5–2.5 Hz of (frames, 3), integrated so many times, less a second at both ends."""
    spectrum = np.fft.rfft(track * scipy.signal.windows.tukey(len(track), 0.2)[:, None], axis=0)
    hertz = np.fft.rfftfreq(len(track), 1 / rate_hz)
    kept = (hertz >= BAND_HZ[0]) & (hertz <= BAND_HZ[1])
    factor = kept / np.where(kept, (2j * np.pi * hertz) ** integrals, 1)
    return np.fft.irfft(spectrum * factor[:, None], len(track), axis=0)[round(rate_hz) : -round(rate_hz)]


def test_twice_integrated_it_is_the_motion_of_the_hand(corpus: Corpus) -> None:
    settings = config()
    for item in plan(corpus, Path("out"), settings):
        felt = acceleration_of(item.job, settings)
        truth = true_phone_motion(item.job, settings)[:: round(FACTOR_RATE_HZ / RATE_HZ)][: len(felt)]
        got, wanted = in_band(felt, RATE_HZ, integrals=2), in_band(truth, RATE_HZ)
        for axis in range(3):
            assert np.corrcoef(got[:, axis], wanted[:, axis])[0, 1] > 0.85
        assert np.std(got) / np.std(wanted) == pytest.approx(1, abs=0.2)


def test_a_stand_gives_the_sensors_own_noise_and_bias(corpus: Corpus) -> None:
    settings = config("stand")
    for item in plan(corpus, Path("out"), settings):
        felt = acceleration_of(item.job, settings)
        density = np.sqrt(scipy.signal.welch(felt, RATE_HZ, nperseg=256, axis=0)[1][60:].mean()) / 9.80665 * 1e6
        assert 140 < density < 310
        sensor = draw_sensor(settings.seed, item.job.session.device.name)
        np.testing.assert_allclose(felt.mean(axis=0), sensor.bias, atol=0.01)
    offsets = [draw_sensor(0, f"device{n}").late_s for n in range(50)]
    assert 0.005 < np.ptp(offsets) <= 0.02


def test_sway_of_the_metadata_is_that_of_the_true_motion(corpus: Corpus) -> None:
    settings = config()
    for item in plan(corpus, Path("out"), settings):
        motion = true_phone_motion(item.job, settings)
        assert len(motion) == -(-item.job.samples // 80)
        assert item.row.meta.sway_mm == pytest.approx(1000 * motion[:, 0].std(), abs=1e-4)


def test_true_motion_is_the_one_that_turns_the_echo(corpus: Corpus) -> None:
    small = {"sway_mm": 0.2, "sway_sigma": 0, "tremor_sigma": 0}
    settings = clean_config(Kind.REPLAY_HANDHELD, posture=small)
    for item in plan(corpus, Path("out"), settings)[:2]:
        motion = true_phone_motion(item.job, settings)[::2, 0]
        tones = item.job.session.probe.tones_hz[:1]
        (moving,) = moving_parts(recorded(item, settings), tones)
        cut = (len(motion) - len(moving)) // 2  # the filter's ends
        along = motion[cut : cut + len(moving)] - motion[cut : cut + len(moving)].mean()
        match = abs(np.vdot(along, moving)) / np.linalg.norm(along) / np.linalg.norm(moving)
        assert match > 0.8


def test_files_lie_beside_the_recordings_and_a_recording_is_done_with_both(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row for row in corpus.rows if row.speaker == "ann"]
    settings = config()
    manifest = simulate_dataset(rows, tmp_path / "out", settings, corpus.phones, workers=1)
    made = {}
    for row in read_rows(manifest):
        assert row.meta.accelerometer == row.path.with_suffix(".accel.npz").name
        file = row.path.parent / row.meta.accelerometer
        with np.load(file) as held:
            assert float(held["rate_hz"]) == 200
            assert held["acceleration"].shape == (round(row.duration_s * 200), 3)
        made[file] = file.read_bytes()
    assert len(made) == len(rows)
    lost = next(iter(made))
    lost.unlink()
    rendered: list[str] = []
    original = dataset.render
    monkeypatch.setattr(dataset, "render", lambda job, config: (rendered.append(job.id), original(job, config)))
    simulate_dataset(rows, tmp_path / "out", settings, corpus.phones, workers=1)
    assert len(rendered) == 1
    assert {file: file.read_bytes() for file in made} == made


def test_without_it_there_is_no_file(corpus: Corpus, tmp_path: Path) -> None:
    settings = config(accelerometer=False)
    row = simulate_dataset(corpus.rows[:1], tmp_path / "out", settings, corpus.phones, workers=1)
    assert read_rows(row)[0].meta.accelerometer is None
    assert not list(tmp_path.rglob("*.npz"))
    job = plan(corpus, tmp_path, settings)[0].job
    assert write_acceleration(job, settings).exists()
