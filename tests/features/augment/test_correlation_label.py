"""What is seen of the mouth stays as it was, and in step with the voice."""

import numpy as np
import pytest
import torch

from vivavoce.features.augment import AUGMENTATIONS, AugmentConfig
from vivavoce.features.front_end import FrontEnd, FrontEndConfig, batch_features, prepare_wave
from vivavoce.signal.probe import draw_probe

from .test_augment import ALL

RATE = 48_000
PROBE = draw_probe(np.random.default_rng(3))
EVENTS_S = (0.6, 1.05, 1.7)


@pytest.fixture(scope="module")
def front_end() -> FrontEnd:
    return FrontEndConfig().build().eval()


def recording(seconds: float = 2.4, seed: int = 0):
    """At each event the voice bursts and the mouth moves, which turns the phase of an echo 30 dB below the probe."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    events = sum(np.exp(-0.5 * ((time - event) / 0.02) ** 2) for event in EVENTS_S)
    speed_m_s = 0.2 * events
    path_m = np.cumsum(speed_m_s) / RATE
    echo = sum(
        10 ** (-30 / 20) * tone_level * np.cos(2 * np.pi * tone * (time - 2 * path_m / 343))
        for tone, tone_level in ((tone, 0.02) for tone in PROBE.tones_hz)
    )
    voice = 0.05 * events * rng.standard_normal(len(time))
    wave = voice + PROBE.waveform(RATE, len(time)) + echo + rng.normal(0, 1e-5, len(time))
    return prepare_wave(wave.astype(np.float32), RATE, PROBE.tones_hz)


def config(**sections):
    return AugmentConfig.model_validate({name: {"probability": 1, **section} for name, section in sections.items()})


@pytest.mark.parametrize("name", [step.name for step in AUGMENTATIONS if step.bands == {"voice"}])
def test_the_echo_is_untouched_to_the_last_bit(front_end, name):
    waves = [recording(seed=seed) for seed in range(2)]
    seeds = np.arange(2)
    plain = batch_features(front_end, waves)
    augmented = batch_features(front_end, waves, config(**{name: {}}).build(), seeds)
    for (voice, echo), (changed, same) in zip(plain, augmented, strict=True):
        assert torch.equal(echo, same)
        assert not torch.equal(voice, changed)


def test_augmentation_touches_the_bands_that_it_names(front_end):
    wave = [recording()]
    ((voice, echo),) = batch_features(front_end, wave)
    for step in AUGMENTATIONS:
        section = {"factors": (1.1,)} if step.name == "speed" else {}
        augment = config(**{step.name: section}).build()
        ((changed, seen),) = batch_features(front_end, wave, augment, np.arange(1))
        touched = {"voice"} if changed.shape != voice.shape or not torch.equal(changed, voice) else set()
        touched |= {"ultrasound"} if seen.shape != echo.shape or not torch.equal(seen, echo) else set()
        assert touched == step.bands


def events_of(track: np.ndarray, expected_s: list[float]) -> list[float]:
    """Time of the peak of ``(frames,)`` near each expected time, s, between frames by its centroid."""
    found = []
    for expected in expected_s:
        near = np.arange(max(0, round(100 * expected - 12)), min(len(track), round(100 * expected + 12)))
        weight = np.maximum(track[near] - track[near].max() / 2, 0)
        found.append(float((weight * near).sum() / weight.sum()) / 100 + 0.005)
    return found


def voice_track(voice: torch.Tensor) -> np.ndarray:
    return voice.exp().sum(dim=1).sqrt().numpy()


def echo_track(echo: torch.Tensor) -> np.ndarray:
    """How far the echo is from where it stands still."""
    still = echo.median(dim=0).values
    return (echo - still).square().sum(dim=1).sqrt().numpy()


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.5])
def test_at_another_speed_voice_and_mouth_keep_step(front_end, speed):
    augment = config(speed={"factors": (speed,)}).build()
    ((voice, echo),) = batch_features(front_end, [recording()], augment, np.arange(1))
    assert len(voice) == len(echo) == pytest.approx(240 / speed, abs=2)
    expected = [event / speed for event in EVENTS_S]
    heard, seen = events_of(voice_track(voice), expected), events_of(echo_track(echo), expected)
    assert heard == pytest.approx(expected, abs=0.006)
    assert seen == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("name", ["noise", "rir", "volume", "band_limit", "codec"])
def test_events_are_heard_when_they_are_seen(front_end, name):
    waves = [recording(seed=seed) for seed in range(3)]
    for voice, _ in batch_features(front_end, waves, config(**{name: {}}).build(), np.arange(3)):
        assert events_of(voice_track(voice), list(EVENTS_S)) == pytest.approx(EVENTS_S, abs=0.006)


def test_mates_do_not_matter_through_the_front_end(front_end):
    sections = {name: section for name, section in ALL.items() if name != "codec"}  # one bit is many in a codec
    augment = AugmentConfig.model_validate({**sections, "speed": {}}).build()
    waves = [recording(seconds, seed) for seed, seconds in enumerate((2.0, 2.4, 2.0))]
    together = batch_features(front_end, waves, augment, np.arange(3))
    for index, wave in enumerate(waves):
        ((voice, echo),) = batch_features(front_end, [wave], augment, np.array([index]))
        assert torch.allclose(voice, together[index][0], atol=1e-2)
        assert torch.allclose(echo, together[index][1], atol=1e-2)
