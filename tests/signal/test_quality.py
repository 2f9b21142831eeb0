import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.signal.probe import Probe, draw_probe
from vivavoce.signal.quality import ProbeQuality, find_probe, judge_recording, probe_quality
from vivavoce.signal.reasons import REASONS, Reason
from vivavoce.signal.tones import detect_tones

from .sounds import moving, recorded, speech

RATE = 48_000
seeds = st.integers(0, 2**32 - 1)
PROBE = draw_probe(np.random.default_rng(5))


def shifted(probe: Probe, hz: float) -> Probe:
    return Probe(tuple(f + hz for f in probe.tones_hz), probe.phases, probe.level_dbfs)


def label(wave: np.ndarray, tones: tuple[float, ...] = PROBE.tones_hz, rate: int = RATE) -> str:
    return probe_quality(wave, rate, tones).label


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000])
def test_low_sample_rates_hold_no_probe(rate: int) -> None:
    quality = probe_quality(np.random.default_rng(0).normal(size=rate), rate, (18_500.0,))
    assert not quality.present
    assert quality.reason == Reason.NO_BAND


@pytest.mark.parametrize("samples", [0, 1, 100, 23_000])
def test_very_short_recordings_hold_no_probe(samples: int) -> None:
    assert probe_quality(np.ones(samples), RATE, (18_500.0,)).reason == Reason.ABSENT


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_quality_measures_level_and_noise(rate: int) -> None:
    probe = draw_probe(np.random.default_rng(3))
    quality = probe_quality(recorded(probe, rate, 3, level_db=-20, noise_db=-70), rate, probe.tones_hz)
    tone_dbfs = 20 * np.log10(probe.amplitude) - 20
    noise_db_hz = -70 - 10 * np.log10(rate / 2)
    assert quality.present
    assert quality.usable
    assert quality.level_dbfs == pytest.approx(tone_dbfs, abs=0.2)
    # A full-scale sine has half the power of its amplitude squared.
    assert quality.snr_db == pytest.approx(tone_dbfs - 3.01 - noise_db_hz - 10 * np.log10(140), abs=1.0)


def test_nothing_is_no_probe() -> None:
    noise = np.random.default_rng(5).normal(size=96_000) * 1e-3
    assert label(noise) == label(np.zeros(96_000)) == label(noise, ()) == "absent"


def test_a_weak_probe_is_weak_by_noise_or_by_level() -> None:
    noisy = probe_quality(recorded(PROBE, RATE, 2, level_db=-40, noise_db=-60), RATE, PROBE.tones_hz)
    assert noisy.present
    assert noisy.label == "weak"
    assert noisy.snr_db < 30
    faint = probe_quality(recorded(PROBE, RATE, 2, level_db=-70, noise_db=-140), RATE, PROBE.tones_hz)
    assert faint.label == "weak"
    assert faint.level_dbfs < -80
    assert label(recorded(PROBE, RATE, 2, level_db=-40, noise_db=-80)) == ""


def test_too_loud_is_clipped() -> None:
    wave = recorded(PROBE, RATE, 2, level_db=0)
    assert label(np.clip(8 * wave, -1, 1)) == "clipped"
    assert label(np.clip(wave, -1, 1)) == ""


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    beside_hz=st.floats(2.5, 97.5),
    rate=st.sampled_from([44_100, 48_000]),
    seconds=st.floats(0.6, 4),
    sign=st.sampled_from([-1, 1]),
)
def test_tones_beside_those_asked_for_are_another_probe(seed, beside_hz, rate, seconds, sign) -> None:
    probe = draw_probe(np.random.default_rng(seed))
    asked = shifted(probe, sign * beside_hz).tones_hz
    quality = probe_quality(recorded(probe, rate, seconds, seed=seed), rate, asked)
    assert quality.label == "wrong nonce"
    assert not quality.present


@settings(max_examples=15, deadline=None)
@given(seed=seeds, clock_hz=st.floats(-1, 1))
def test_another_clock_does_not_make_another_probe(seed: int, clock_hz: float) -> None:
    probe = draw_probe(np.random.default_rng(seed))
    assert label(recorded(shifted(probe, clock_hz), RATE, 2), probe.tones_hz) == ""


@settings(max_examples=25, deadline=None)
@given(
    seed=seeds,
    beside_hz=st.floats(4, 96),
    rate=st.sampled_from([44_100, 48_000]),
    seconds=st.floats(2, 5),  # in less, a line 4 Hz away that is 45 dB down hides beside the tone
    below_db=st.floats(0, 22),
)
def test_an_old_probe_beside_the_right_one_is_found(seed, beside_hz, rate, seconds, below_db) -> None:
    probe = draw_probe(np.random.default_rng(seed))
    wave = recorded(probe, rate, seconds, seed=seed)
    wave += shifted(probe, beside_hz).waveform(rate, len(wave)) * 10 ** (-(20 + below_db) / 20)
    assert label(wave, probe.tones_hz, rate) == "second probe"


def test_a_single_foreign_line_is_no_second_probe() -> None:
    wave = recorded(PROBE, RATE, 3)
    wave += 0.003 * np.sin(2 * np.pi * (PROBE.tones_hz[2] + 31) * np.arange(len(wave)) / RATE)
    assert label(wave) == ""


JAMS = {
    "sweeps": lambda t, rng: np.sin(2 * np.pi * (17_500 * t + 0.5 * 3000 / 0.2 * (t % 0.2) ** 2)),
    "bursts": lambda t, rng: 3 * rng.normal(size=len(t)) * ((t % 0.5) < 0.1),
    "noise": lambda t, rng: rng.normal(size=len(t)),
    "warble": lambda t, rng: sum(
        np.cos(2 * np.pi * f * t + 5 * np.sin(2 * np.pi * 7 * t + f)) for f in np.arange(17_600, 20_400, 70.0)
    ),
}


@pytest.mark.parametrize("name", JAMS)
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_other_ultrasound_jams(name: str, rate: int) -> None:
    clean = recorded(PROBE, rate, 3)
    jam = JAMS[name](np.arange(len(clean)) / rate, np.random.default_rng(1))
    spectrum = np.fft.rfft(jam)
    spectrum[np.fft.rfftfreq(len(jam), 1 / rate) < 17_000] = 0
    jam = np.fft.irfft(spectrum, len(clean))
    jam *= np.sqrt(np.mean(PROBE.waveform(rate, len(clean)) ** 2)) * 0.1 / np.sqrt(np.mean(jam**2))
    # A warble that repeats is a set of lines, too.
    assert label(clean + jam, rate=rate) in ("jammed", "second probe" if name == "warble" else "jammed")
    assert label(clean + 0.003 * jam, rate=rate) == ""


def test_a_phone_of_the_worst_noise_is_weak_and_not_jammed() -> None:
    """DESIGN §5: -60 dBc/Hz beside -25 … -17 dBFS RMS for all tones; then each of 8 tones has a little under 30 dB."""
    for carrier_db in (-25.0, -17.0):
        noise_db = carrier_db - 60 + 10 * np.log10(RATE / 2)
        wave = recorded(PROBE, RATE, 2, level_db=carrier_db + 3 + 12, noise_db=noise_db)
        assert label(wave) == "weak"


@pytest.mark.parametrize("rate", [44_100, 48_000, 16_000])
@pytest.mark.parametrize("seconds", [0.3, 0.8, 3.0])
@pytest.mark.parametrize("level_db", [-20, -200])
def test_finding_is_detecting_and_judging(rate: int, seconds: float, level_db: float) -> None:
    wave = recorded(PROBE, rate, seconds, level_db=level_db, noise_db=-70)
    tones, quality = find_probe(wave, rate)
    assert tones == detect_tones(wave, rate)
    assert quality == probe_quality(wave, rate, tones)
    assert bool(tones) == (level_db == -20 and rate > 16_000 and seconds > 0.5)


def scene(
    rate: int = RATE, seconds: float = 3.0, spoken_s: float = 3.0, swing_mm: float = 0.0, **sound: float
) -> np.ndarray:
    """Speech for a while, and the probe with an echo that sways."""
    wave = moving(PROBE, rate, seconds, swing_mm, seed=0, **sound)
    voice = speech(rate, spoken_s)
    wave[: len(voice)] += voice[: len(wave)]
    return wave


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("known", [True, False])
def test_the_scene_is_judged_behind_the_probe(rate: int, known: bool) -> None:
    def said(**what: float) -> str:
        tones, quality = judge_recording(scene(rate, **what), rate, PROBE.tones_hz if known else None)
        np.testing.assert_allclose(tones, PROBE.tones_hz, atol=0.1)
        assert quality.present
        assert quality.snr_db == probe_quality(scene(rate, **what), rate, tones).snr_db
        return quality.label

    assert said(swing_mm=0.7) == ""
    assert said(swing_mm=0.7, spoken_s=0.8) == "too little speech"
    assert said(swing_mm=8) == "hold still"
    assert said(swing_mm=8, spoken_s=0.8) == "too little speech"  # asked first


def test_too_far_is_where_noise_would_hide_a_mouth_and_nothing_moves() -> None:
    """-52 dBFS of noise leaves 33 dB: a mouth at 20 cm, at -38 dBc, would not be seen."""
    assert judge_recording(scene(noise_db=-52), RATE, PROBE.tones_hz)[1].label == "too far"
    assert judge_recording(scene(noise_db=-52, swing_mm=1.2, echo_db=-12), RATE, PROBE.tones_hz)[1].label == ""
    # With little noise it is seen that nothing moves: that is for the detector to judge.
    assert judge_recording(scene(noise_db=-80), RATE, PROBE.tones_hz)[1].label == ""


def test_what_is_wrong_with_the_probe_comes_before_the_scene() -> None:
    wave = scene(swing_mm=8, spoken_s=0.5)
    assert judge_recording(wave, RATE, shifted(PROBE, 18).tones_hz)[1].label == "wrong nonce"
    wave += shifted(PROBE, 18).waveform(RATE, len(wave)) * 0.1
    assert judge_recording(wave, RATE, PROBE.tones_hz)[1].label == "second probe"
    assert judge_recording(wave, 16_000, ())[1].label == "no ultrasound band"


def test_every_reason_tells_the_user_what_to_do() -> None:
    for reason in Reason:
        assert reason.advice.endswith(".")
        assert reason.advice.count(".") == 1
        assert not reason.value.endswith(".")
    assert len(set(REASONS)) == len(Reason)
    assert Reason.MOVING.advice.startswith("Hold the phone still")


@pytest.mark.parametrize("reason", ["", "something that an older version said"])
def test_other_reasons_have_no_advice(reason: str) -> None:
    quality = ProbeQuality(True, -30.0, 40.0, reason)
    assert (quality.label, quality.advice, quality.usable) == (reason, "", not reason)
