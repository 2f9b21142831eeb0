import math
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.audio import MAX_DURATION_S
from vivavoce.audit.measure import DROPOUT_S, NOTHING_DBFS, Measurement, Span, measure_file, measure_samples

from .corpus import PROBE, RATE, SECONDS, recording, voice

VOICE = recording(1).astype(np.float32)
WHOLE = Span(0, 0.0, SECONDS, PROBE.tones_hz)


def measured(path: Path, span: Span = WHOLE) -> Measurement:
    (one,) = measure_file(path, [span])
    return one


def test_levels_follow_the_gain() -> None:
    loud, quiet = (measure_samples(gain * VOICE, RATE, PROBE.tones_hz) for gain in (np.float32(1), np.float32(0.1)))
    for name in ("peak_dbfs", "rms_dbfs", "active_dbfs", "floor_dbfs", "probe_dbfs"):
        assert quiet[name] == pytest.approx(loud[name] - 20, abs=0.01)  # pyright: ignore[reportOperatorIssue]
    for name in ("leading_s", "trailing_s", "clipped", "dropouts"):
        assert quiet[name] == loud[name]


def test_a_sine_has_the_levels_of_the_book() -> None:
    time_s = np.arange(RATE) / RATE
    sine = (0.5 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)
    numbers = measure_samples(sine, RATE, None)
    assert numbers["peak_dbfs"] == pytest.approx(20 * math.log10(0.5), abs=1e-3)
    assert numbers["rms_dbfs"] == pytest.approx(20 * math.log10(0.5) - 3.0103, abs=1e-3)
    assert numbers["active_dbfs"] == pytest.approx(20 * math.log10(0.5) - 3.0103, abs=0.05)


def test_the_probe_does_not_move_the_voice_level() -> None:
    alone = voice(1).astype(np.float32)
    with_probe, without = measure_samples(VOICE, RATE, ()), measure_samples(alone, RATE, ())
    for name in ("active_dbfs", "floor_dbfs", "leading_s", "trailing_s"):
        assert with_probe[name] == pytest.approx(without[name], abs=0.05)


@given(before=st.floats(0.3, 3.0), after=st.floats(0.3, 3.0))
@settings(max_examples=10, deadline=None)
def test_silence_around_speech_is_measured(before: float, after: float) -> None:
    rng = np.random.default_rng(3)
    ends = [2e-4 * rng.normal(size=round(s * RATE)) for s in (before, after)]
    numbers = measure_samples(np.concatenate([ends[0], VOICE, ends[1]]).astype(np.float32), RATE, ())
    alone = measure_samples(VOICE, RATE, ())
    assert numbers["leading_s"] == pytest.approx(before + alone["leading_s"], abs=0.06)  # pyright: ignore
    assert numbers["trailing_s"] == pytest.approx(after + alone["trailing_s"], abs=0.06)  # pyright: ignore


@given(length=st.integers(240, 9600), at=st.floats(0.25, 0.7))
@settings(max_examples=30, deadline=None)
def test_a_dropout_in_speech_is_found_with_its_length(length: int, at: float) -> None:
    wave = VOICE.copy()
    start = int(at * len(wave))
    wave[start : start + length] = 0
    numbers = measure_samples(wave, RATE, PROBE.tones_hz)
    assert length >= DROPOUT_S * RATE
    assert numbers["dropouts"] == 1
    assert numbers["longest_dropout_s"] == pytest.approx(length / RATE, abs=2 / RATE)


def test_a_dropout_in_a_pause_is_found_where_the_probe_stops() -> None:
    wave = voice(1).copy()
    wave[36_000:48_000] = 0
    probe = PROBE.waveform(RATE, len(wave))
    quiet = np.std(wave) / np.std(probe) * 10 ** (-35 / 20)  # far below the speech, as from a small loudspeaker
    wave = (wave + quiet * probe).astype(np.float32)
    assert measure_samples(wave, RATE, PROBE.tones_hz)["dropouts"] == 0
    wave[40_000:41_000] = 0
    assert measure_samples(wave, RATE, PROBE.tones_hz)["dropouts"] == 1


def test_zeros_in_an_emptied_pause_are_no_dropout() -> None:
    wave = voice(2).astype(np.float32)
    fade = np.ones(len(wave), np.float32)
    ramp = round(0.03 * RATE)
    fade[30_000 - ramp : 30_000] = np.linspace(1, 0, ramp) ** 4
    fade[30_000:36_000] = 0
    fade[36_000 : 36_000 + ramp] = np.linspace(0, 1, ramp) ** 4
    assert measure_samples(wave * fade, RATE, None)["dropouts"] == 0
    assert measure_samples(np.where(fade == 0, np.float32(0), wave), RATE, None)["dropouts"] == 1


@given(gain=st.floats(3, 20), turned_down=st.floats(0.1, 1))
@settings(max_examples=20, deadline=None)
def test_clipping_is_found_even_when_turned_down(gain: float, turned_down: float) -> None:
    wave = np.clip(gain / np.abs(VOICE).max() * VOICE, -1, 1) * turned_down
    sixteen_bits = np.rint(wave * 32_767) / 32_768
    truth = np.mean(np.abs(gain / np.abs(VOICE).max() * VOICE) >= 1)
    assert measure_samples(sixteen_bits.astype(np.float32), RATE, None)["clipped"] > truth / 3
    assert measure_samples(VOICE, RATE, None)["clipped"] == 0


def test_the_content_is_that_of_the_samples_not_of_the_file(tmp_path: Path) -> None:
    codes = np.rint(VOICE * 32_767).astype(np.int16)
    for name, samples in {"a.wav": codes, "a.flac": codes, "b.wav": np.roll(codes, 1)}.items():
        sf.write(tmp_path / name, samples, RATE)
    a, flac, b = (measured(tmp_path / name).content for name in ("a.wav", "a.flac", "b.wav"))
    assert a == flac
    assert a != b
    assert measure_samples(VOICE, RATE, None)["content"] != measure_samples(VOICE, 44_100, None)["content"]


def test_silence_has_no_content_and_no_level() -> None:
    numbers = measure_samples(np.zeros(RATE, np.float32), RATE, PROBE.tones_hz)
    assert numbers["content"] is None
    assert numbers["peak_dbfs"] == numbers["active_dbfs"] == NOTHING_DBFS
    assert numbers["leading_s"] == 1.0


@pytest.mark.parametrize("samples", [1, 100, 900, 961, 5000])
def test_the_shortest_recordings_can_be_measured(samples: int) -> None:
    numbers = measure_samples(VOICE[10_000 : 10_000 + samples], RATE, PROBE.tones_hz)
    assert numbers["probe_present"] is None
    assert numbers["leading_s"] + numbers["trailing_s"] <= samples / RATE + 0.02  # pyright: ignore


def test_spans_of_a_file_are_measured_apart(tmp_path: Path) -> None:
    both = np.stack([np.concatenate([VOICE, 0.5 * VOICE]), np.concatenate([0.1 * VOICE, VOICE])], axis=1)
    sf.write(tmp_path / "a.wav", both, RATE, subtype="FLOAT")
    spans = [Span(0, 0.0, SECONDS, None), Span(0, SECONDS, SECONDS, None), Span(1, SECONDS, SECONDS, None)]
    first, second, third = measure_file(tmp_path / "a.wav", spans)
    assert first.content == third.content != second.content
    assert first.file_s == pytest.approx(2 * SECONDS)
    assert second.decoded_s == pytest.approx(SECONDS)


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        (Span(1, 0.0, 1.0, None), "outside"),
        (Span(0, 99.0, 1.0, None), "outside"),
        (Span(0, 1.0, 99.0, None), None),
    ],
)
def test_spans_that_the_file_lacks(tmp_path: Path, span: Span, problem: str | None) -> None:
    sf.write(tmp_path / "a.wav", VOICE, RATE)
    one = measured(tmp_path / "a.wav", span)
    assert one.problem == problem
    assert one.file_s == pytest.approx(SECONDS)
    if problem is None:
        assert one.decoded_s == pytest.approx(SECONDS - 1.0)


def test_a_span_longer_than_what_is_read_at_once_is_a_problem_of_its_own(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.flac", np.zeros(round(8000 * (MAX_DURATION_S + 5)), np.int16), 8000)
    assert measured(tmp_path / "a.flac", Span(0, 0.0, MAX_DURATION_S + 5, None)).problem == "too_long"


def test_problems_of_files(tmp_path: Path) -> None:
    sf.write(tmp_path / "whole.flac", VOICE, RATE)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    (tmp_path / "truncated.txt").write_text("this is truncated or damaged")
    (tmp_path / "empty.wav").touch()
    sf.write(tmp_path / "nan.wav", np.full(1000, np.nan), RATE, subtype="FLOAT")
    names = ("whole.flac", "cut.flac", "truncated.txt", "empty.wav", "nan.wav", "none.wav")
    problems = [measured(tmp_path / name).problem for name in names]
    assert problems == [None, "truncated", "unreadable", "unreadable", "unreadable", "missing"]
    assert (measured(tmp_path / "cut.flac").message or "").startswith("The file is truncated or damaged")
