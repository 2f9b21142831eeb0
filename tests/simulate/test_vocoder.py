import numpy as np
import pytest
import scipy.signal

from vivavoce.simulate.synthetic import synthetic_voice
from vivavoce.simulate.vocoder import resynthesised

RATE = 16_000


def sung(pitch_hz: np.ndarray) -> np.ndarray:
    """A buzz through two formants whose pitch is ``pitch_hz`` (samples,)."""
    turns = np.floor(np.cumsum(pitch_hz) / RATE)
    wave = np.diff(turns, prepend=0.0)
    for hertz, width in ((600, 80), (1800, 120)):
        radius = np.exp(-np.pi * width / RATE)
        wave = scipy.signal.lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], wave)
    return (0.1 * wave / np.std(wave)).astype(np.float32)


def pitch_of(wave: np.ndarray) -> np.ndarray:
    """Pitch of 60 ms stretches by autocorrelation, Hz."""
    found = []
    for start in range(2000, len(wave) - 2000, 960):
        part = wave[start : start + 960] - np.mean(wave[start : start + 960])
        match = np.correlate(part, part, "full")[len(part) - 1 :]
        lag = np.argmax(match[45:200]) + 45
        found.append(RATE / lag)
    return np.array(found)


def test_formants_stay_and_the_melody_goes() -> None:
    time = np.arange(2 * RATE) / RATE
    voice = sung(140 * 2 ** (0.5 * np.sin(2 * np.pi * 1.0 * time)))
    copy = resynthesised(np.random.default_rng(0), voice, RATE)
    assert copy.shape == voice.shape
    assert copy.dtype == np.float32
    assert np.std(copy) == pytest.approx(np.std(voice), rel=0.5)
    spectra = [np.log(scipy.signal.welch(wave, RATE, nperseg=256)[1][4:60]) for wave in (voice, copy)]
    assert np.corrcoef(spectra)[0, 1] > 0.9
    before, after = (np.std(np.log2(pitch_of(wave))) for wave in (voice, copy))
    assert after < 0.6 * before
    # Made anew: as a waveform it has little to do with the original.
    assert abs(np.corrcoef(voice, copy)[0, 1]) < 0.5


def test_silence_stays_silence_and_noise_noise() -> None:
    rng = np.random.default_rng(0)
    assert np.abs(resynthesised(rng, np.zeros(RATE, dtype=np.float32), RATE)).max() < 1e-3
    noise = 0.1 * rng.standard_normal(RATE).astype(np.float32)
    copy = resynthesised(rng, noise, RATE)
    assert np.std(copy) == pytest.approx(0.1, rel=0.4)


def test_espeak_fills_the_recording_in_the_targets_register() -> None:
    pytest.importorskip("espeakng_loader")
    target = np.repeat(np.float32(0.1), 4 * 48_000) * np.sin(np.arange(4 * 48_000) / 20).astype(np.float32)
    text = "My voice is my pass phrase, and nobody else says it as I do"
    pitches = {}
    for sex in ("F", "M"):
        waves = [synthetic_voice(np.random.default_rng(s), target, text, sex) for s in range(3)]
        assert all(wave.shape == target.shape and wave.dtype == np.float32 for wave in waves)
        again = synthetic_voice(np.random.default_rng(0), target, text, sex)
        np.testing.assert_array_equal(waves[0], again)
        active = [np.mean(np.abs(wave) > 0.003) for wave in waves]
        assert min(active) > 0.3
        pitches[sex] = np.median(np.concatenate([pitch_of(wave[::3]) for wave in waves]))
    assert pitches["F"] > 1.2 * pitches["M"]
