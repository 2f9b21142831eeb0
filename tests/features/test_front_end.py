import numpy as np
import pytest
import soxr
import torch
from pydantic import ValidationError

from vivavoce.features.front_end import FrontEnd, FrontEndConfig, Wave, batch_features, prepare_wave
from vivavoce.signal.probe import draw_probe

PROBE = draw_probe(np.random.default_rng(3))


@pytest.fixture(scope="module")
def front_end() -> FrontEnd:
    return FrontEndConfig().build().eval()


def speech(rate: int, seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    """The same syllables of filtered noise at any rate."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, 0.05, round(seconds * 96_000))
    wave *= 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(len(wave)) / 96_000)
    voice = soxr.resample(soxr.resample(wave, 96_000, 7_000), 7_000, rate)
    return voice[: round(seconds * rate)].astype(np.float32)


def phone(rate: int, seconds: float = 1.3, seed: int = 0) -> np.ndarray:
    """The voice, the probe, and microphone noise."""
    voice = speech(rate, seconds, seed)
    noise = np.random.default_rng(seed).normal(0, 1e-4, len(voice))
    return (voice + PROBE.waveform(rate, len(voice)) + noise).astype(np.float32)


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("seconds", [1.0, 1.2345, 0.777])
def test_both_bands_share_one_grid(front_end, rate, seconds):
    wave = phone(rate, seconds) if rate > 16_000 else speech(rate, seconds)
    ((voice, echo),) = batch_features(front_end, [prepare_wave(wave, rate, None)])
    assert len(voice) == len(echo)
    assert abs(len(voice) - 100 * seconds) <= 1
    assert voice.shape[1] == front_end.mels
    assert echo.shape[1] == front_end.echo_channels
    assert torch.isfinite(voice).all()
    assert torch.isfinite(echo).all()
    assert bool(echo.any()) == (rate > 16_000)


@pytest.mark.parametrize(("rate", "taken"), [(8_000, 16_000), (22_050, 16_000), (32_000, 16_000), (96_000, 48_000)])
def test_other_rates_are_brought_to_one_the_front_end_takes(front_end, rate, taken):
    wave = prepare_wave(speech(rate), rate, None)
    assert wave.rate == taken
    ((voice, _),) = batch_features(front_end, [wave])
    ((reference, _),) = batch_features(front_end, [prepare_wave(speech(16_000), 16_000, None)])
    assert abs(len(voice) - len(reference)) <= 1
    # Up to 3 kHz the voice is the same whatever it was recorded at; log-mels, nats.
    size = min(len(voice), len(reference))
    loud = reference[:size, 5:45] > reference[:size, 5:45].mean()
    assert (voice[:size, 5:45] - reference[:size, 5:45])[loud].abs().mean() < 0.3


def test_96_khz_keeps_its_ultrasound(front_end):
    wave = prepare_wave(phone(96_000), 96_000, None)
    assert wave.quality.present
    assert np.allclose(wave.tones_hz, PROBE.tones_hz, atol=0.5)
    assert batch_features(front_end, [wave])[0][1].any()


def test_a_voice_only_recording_has_no_echo_and_says_why(front_end):
    for rate in (8_000, 16_000, 22_050):
        wave = prepare_wave(speech(rate), rate, None)
        assert not wave.quality.present
        assert "no ultrasound band" in wave.quality.reason
        assert not batch_features(front_end, [wave])[0][1].any()
    silent = prepare_wave(speech(48_000), 48_000, None)
    assert not silent.quality.present
    assert silent.quality.reason == "no probe in the recording"


def test_tones_are_detected_where_they_are_not_known():
    found, told = prepare_wave(phone(48_000), 48_000, None), prepare_wave(phone(48_000), 48_000, PROBE.tones_hz)
    assert np.allclose(found.tones_hz, PROBE.tones_hz, atol=0.5)
    assert told.tones_hz == PROBE.tones_hz
    assert found.quality.present
    assert told.quality.present


def test_a_probe_known_to_be_absent_is_not_sought():
    wave = prepare_wave(phone(48_000), 48_000, ())
    assert not wave.quality.present
    assert wave.tones_hz == ()


def mixed() -> list[Wave]:
    waves = [
        (phone, 48_000, 1.3),
        (phone, 44_100, 0.9),
        (speech, 16_000, 1.1),
        (phone, 48_000, 0.6),
        (speech, 8_000, 1),
    ]
    return [prepare_wave(make(rate, s, seed), rate, None) for seed, (make, rate, s) in enumerate(waves)]


def test_a_batch_of_mixed_rates_equals_each_alone(front_end):
    waves = mixed()
    for wave, (voice, echo) in zip(waves, batch_features(front_end, waves), strict=True):
        ((own_voice, own_echo),) = batch_features(front_end, [wave])
        torch.testing.assert_close(voice, own_voice, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(echo, own_echo, atol=1e-4, rtol=1e-4)


def test_the_order_of_a_batch_does_not_matter(front_end):
    waves = mixed()
    forward, backward = batch_features(front_end, waves), batch_features(front_end, waves[::-1])[::-1]
    for (voice, echo), (other_voice, other_echo) in zip(forward, backward, strict=True):
        torch.testing.assert_close(voice, other_voice, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(echo, other_echo, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "voice",
    [{"frame_shift_ms": 20.0}, {"sample_rate": 8000}, {"snip_edges": True}, {"use_log_fbank": False}],
    ids=lambda voice: next(iter(voice)),
)
def test_a_voice_grid_that_the_echo_cannot_follow_is_refused(voice):
    with pytest.raises(ValidationError, match=next(iter(voice))):
        FrontEndConfig.model_validate({"voice": voice})
