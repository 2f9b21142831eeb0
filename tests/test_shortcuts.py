"""The audit of shortcuts: each change takes out what it says and leaves the rest, and the figures say what they say."""

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vivavoce.signal.probe import draw_probe

from .tiny import Tiny

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    *("shortcut_sounds", "shortcut_figures", "shortcut_recordings", "shortcut_sidebands"),
    *("shortcuts", "tables_shortcuts", "tables"),
)
RATE, SECONDS = 48_000, 2.0
TIME = np.arange(round(SECONDS * RATE)) / RATE
INSIDE = slice(RATE // 4, -RATE // 4)
# Unevenly apart, as a probe draws them.
TONES = (18_100.0, 18_300.0, 18_800.0, 19_000.0, 19_700.0)


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """Import a module of the benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as for a script that is run
        yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def sounds(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("shortcut_sounds")


@pytest.fixture(scope="module")
def figures(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("shortcut_figures")


def sine(hz: float, amplitude: float = 0.01) -> np.ndarray:
    return amplitude * np.cos(2 * np.pi * hz * TIME + hz)


def probe(offset_hz: float = 0.0) -> np.ndarray:
    return np.sum([sine(hz + offset_hz, 0.05) for hz in TONES], axis=0)


def voice(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(len(TIME))
    spectrum = np.fft.rfft(noise) * (np.fft.rfftfreq(len(TIME), 1 / RATE) < 4000)
    return 0.05 * np.fft.irfft(spectrum, n=len(TIME)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * TIME))


def rms_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wave[INSIDE] ** 2) + 1e-30))


@pytest.mark.parametrize("away", [-70.0, -20.0, 5.0, 54.0, 70.0])
def test_the_comb_keeps_the_dopplers_of_every_tone_to_a_tenth_of_a_decibel(sounds: ModuleType, away: float) -> None:
    echo = np.sum([sine(hz + away) for hz in TONES], axis=0)
    kept = sounds.between_tones_removed(probe() + echo, RATE, TONES) - probe()
    assert rms_db(kept) == pytest.approx(rms_db(echo), abs=0.1)
    assert rms_db(kept - echo) < rms_db(echo) - 38  # in phase, too


@pytest.mark.parametrize("hz", [17_050.0, 18_000.0, 18_200.0, 18_550.0, 19_350.0, 19_800.0, 20_400.0, 21_500.0])
def test_the_comb_takes_out_60_db_of_what_lies_between_the_tones(sounds: ModuleType, hz: float) -> None:
    wave = sounds.between_tones_removed(probe() + sine(hz), RATE, TONES)
    assert rms_db(wave - probe()) < rms_db(sine(hz)) - 60


def test_the_comb_leaves_the_voice(sounds: ModuleType) -> None:
    wave = voice()
    after = sounds.between_tones_removed(wave + probe(), RATE, TONES)
    assert rms_db(after - wave - probe()) < rms_db(wave) - 60


@pytest.mark.parametrize("offset_hz", [0.0, 0.03, -0.2])
def test_carriers_are_found_with_their_clock_and_without_their_echo(sounds: ModuleType, offset_hz: float) -> None:
    still = probe(offset_hz)
    echo = 0.05 * 10 ** (-26 / 20) * np.cos(2 * np.pi * TONES[0] * TIME + 4 * np.sin(2 * np.pi * 4 * TIME))
    found = sounds.carriers(voice() + still + echo, RATE, TONES)
    assert rms_db(found - still) < rms_db(still) - 30
    assert rms_db(sounds.carriers(still, RATE, TONES) - still) < rms_db(still) - 60


def test_gain_control_turns_probe_and_voice_alike_and_follows_the_voice(sounds: ModuleType) -> None:
    wave = voice() + probe()
    turned = sounds.gain_controlled(wave, RATE)
    gain_db = 20 * np.log10(np.abs(turned[np.abs(wave) > 0.01] / wave[np.abs(wave) > 0.01]))
    assert gain_db.max() <= 1e-6
    assert gain_db.min() >= -12 - 1e-6
    assert np.ptp(gain_db) > 6  # a voice that comes and goes


def test_a_silenced_voice_leaves_the_echo_and_the_other_way_round(sounds: ModuleType) -> None:
    rng = np.random.default_rng(0)
    echo = probe() + sine(18_130.0)
    wave = voice() + echo
    low, high = sounds.bands(sounds.voice_silenced(wave, RATE, rng), RATE)
    assert rms_db(low) < sounds.SILENCE_DBFS + 1
    assert rms_db(high - echo) < rms_db(echo) - 70
    low, high = sounds.bands(sounds.echo_silenced(wave, RATE, TONES, rng), RATE)
    assert rms_db(low - voice()) < rms_db(voice()) - 70
    assert rms_db(high - probe()) < rms_db(sine(18_130.0)) - 10  # the echo is gone, the carriers stay


def test_the_noise_of_a_recording_is_that_of_its_still_scene(sounds: ModuleType) -> None:
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(TIME))
    still = sounds.echo_silenced(probe() + noise, RATE, TONES, np.random.default_rng(1))
    before, after = (sounds.noise_density(wave, RATE, TONES) for wave in (probe() + noise, still))
    assert 10 * math.log10(after / before) == pytest.approx(0, abs=0.7)
    assert before == pytest.approx(1e-8 / (RATE / 2), rel=0.2)


def test_colour_changes_the_voice_alone_and_not_its_level(sounds: ModuleType) -> None:
    wave = voice() + probe()
    low, high = sounds.bands(sounds.coloured(wave, RATE, np.random.default_rng(3)), RATE)
    assert rms_db(high - probe()) < rms_db(probe()) - 60
    assert rms_db(low) == pytest.approx(rms_db(voice()), abs=1.5)
    spectra = [np.abs(np.fft.rfft(part))[200:7800].reshape(-1, 200).mean(axis=1) for part in (low, voice())]
    assert np.ptp(20 * np.log10(spectra[0] / spectra[1])) > 2


def test_the_same_scores_change_nothing_and_cannot_be_told_apart(figures: ModuleType) -> None:
    rng = np.random.default_rng(0)
    live, attacks = rng.normal(1, 1, 60), rng.normal(-1, 1, 80)
    speakers = (rng.integers(6, size=60).astype(str), rng.integers(6, size=80).astype(str))
    before, after, change = figures.eer_change((live, attacks), (live, attacks), speakers, 50, 0)
    assert before == after
    assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)
    assert 0 < before.low < before.value < before.high < 1
    assert figures.auc(live, live, speakers[0], speakers[0], 20, 0).value == pytest.approx(0.5)
    assert figures.auc(live + 100, live, speakers[0], speakers[0], 20, 0).value == 1.0
    worse = figures.eer_change((live, attacks), (attacks[:60], attacks), speakers, 20, 0)[2]
    assert worse.value > 0.2


def test_one_speaker_leaves_no_interval(figures: ModuleType) -> None:
    rate = figures.eer_of(np.ones(3), np.zeros(3), np.array(["a"] * 3), np.array(["a"] * 3), 50, 0)
    assert (rate.value, rate.low, rate.high) == (0.0, None, None)


@pytest.mark.slow
def test_the_whole_audit_runs_and_its_table_can_be_made(
    load: Callable[[str], ModuleType], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--run", tiny.run, "--manifest", tiny.test, "--smoke", "--workers", 1, "--json", tmp_path / "out.json"]
    load("shortcuts").main([str(word) for word in words])
    result = json.loads((tmp_path / "out.json").read_text())
    names = {row["probe"][0] for row in result["probes"]}
    assert names == set("123456")
    assert {"spliced swaps", "spliced shifts", "loudspeakers"} <= {row["attacks"] for row in result["probes"]}
    assert {row["held"] for row in result["probes"]} <= {True, False, None}
    assert str(tmp_path) not in json.dumps(result)
    shown = load("tables_shortcuts").shortcuts(result)
    assert shown.count("\n") > len(result["probes"])
    assert "live, re-spliced" in load("tables_shortcuts").shortcut_sidebands(result)


def test_a_probes_tones_are_found_in_the_copies(sounds: ModuleType) -> None:
    drawn = draw_probe(np.random.default_rng(0))
    wave = voice() + drawn.waveform(RATE, len(TIME))
    still = sounds.carriers(wave, RATE, drawn.tones_hz)
    assert rms_db(still) == pytest.approx(drawn.level_dbfs - 3, abs=0.3)
