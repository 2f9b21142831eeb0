"""The echo front end on real phone recordings of a 20 kHz tone with hand and body motion (UltraSense, Galaxy S3)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf
import torch

from vivavoce.signal.echo import EchoConfig
from vivavoce.signal.picture import doppler_spectrogram
from vivavoce.signal.probe import draw_probe
from vivavoce.signal.quality import probe_quality
from vivavoce.signal.tones import detect_tones

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


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "ultrasense.py"
    spec = importlib.util.spec_from_file_location("benchmarks_ultrasense", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # where dataclasses look for the names of their types
        spec.loader.exec_module(module)
        return module


def test_what_the_folders_say_comes_out(benchmark: ModuleType, shared_data: Path) -> None:
    found = benchmark.measure_all(shared_data / "ultrasense20k")
    assert sum(map(len, found.values())) == 37
    claims = benchmark.judge(found)
    assert [claim["claim"] for claim in claims if not claim["holds"]] == []
    # Neither claim can hold of recordings whose folders were exchanged.
    found["downward"], found["upward"] = found["upward"], found["downward"]
    assert len([claim for claim in benchmark.judge(found) if not claim["holds"]]) == 2


def test_a_recording_played_backward_shows_the_same_shifts_in_turned_order(
    benchmark: ModuleType, recordings: Recordings
) -> None:
    wave, rate = recordings["walk by kneeheight"][1]
    forward, backward = (benchmark.measure(np.ascontiguousarray(w), rate, "walk") for w in (wave, wave[::-1]))
    assert backward.quarters_db == pytest.approx(forward.quarters_db[::-1], abs=1)
    assert backward.approach_db == pytest.approx(forward.approach_db, abs=0.5)
    assert backward.moving_dbc == pytest.approx(forward.moving_dbc, abs=0.5)
    assert backward.speed_hz == pytest.approx(forward.speed_hz, abs=2)


@pytest.mark.parametrize("hz", [20.0, 40.0, 60.0])
def test_an_echo_of_known_level_and_speed_is_measured_so(benchmark: ModuleType, hz: float) -> None:
    rate, rng = 44_100, np.random.default_rng(0)
    time = np.arange(4 * rate) / rate
    carrier = 0.1 * np.cos(2 * np.pi * 20_000 * time)
    echo = 0.1 * 10 ** (-30 / 20) * np.cos(2 * np.pi * (20_000 - hz) * time)
    noise = np.sqrt(0.005 * 1e-8 * rate / 2) * rng.standard_normal(len(time))
    seen = benchmark.measure((carrier + echo + noise).astype(np.float32), rate, "made")
    assert seen.moving_dbc == pytest.approx(-30, abs=0.7)
    assert seen.speed_hz[1] == pytest.approx(hz, abs=1.5)
    assert seen.approach_db < -15
    assert seen.noise_dbc_hz == pytest.approx(-80, abs=1)
    assert seen.carrier_dbfs == pytest.approx(-20, abs=0.2)
