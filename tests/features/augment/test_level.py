import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from vivavoce.features.augment.level import MARGIN_DB, active_power

from .voices import RATE, batch, syllables


def p56_power(wave: np.ndarray) -> float:
    """Active power by ITU-T P.56 method B, sample by sample, with thresholds 0.05 octaves apart."""
    decay = np.exp(-1 / (RATE * 0.03))
    envelope = np.abs(wave)
    for _ in range(2):
        envelope = scipy.signal.lfilter([1 - decay], [1, -decay], envelope)
    hangover = int(0.2 * RATE)
    held = scipy.ndimage.maximum_filter1d(envelope, hangover + 1, origin=hangover // 2)
    energy = float((wave.astype(float) ** 2).sum())
    for threshold in 2.0 ** np.arange(-18, 0, 0.05):
        active = int((held >= threshold).sum())
        if active and 10 * np.log10(energy / active / threshold**2) <= MARGIN_DB:
            return energy / active
    raise AssertionError("no threshold meets the margin")


@pytest.mark.parametrize("pause_s", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_standard_sample_by_sample(seed, pause_s):
    voice = syllables(2.0, seed)
    wave = np.concatenate([voice, np.zeros(int(pause_s * RATE), np.float32), voice])
    ours = float(active_power(*batch_of(wave))[0])
    assert 10 * np.log10(ours / p56_power(wave)) == pytest.approx(0, abs=0.2)


def batch_of(wave: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(wave)[None], torch.tensor([len(wave)])


def test_a_pause_does_not_lower_the_level():
    voice = syllables(3.0)
    paused = np.concatenate([voice, np.zeros(6 * RATE, np.float32)])
    levels = [10 * torch.log10(active_power(*batch_of(wave))[0]) for wave in (voice, paused)]
    assert abs(float(levels[0] - levels[1])) < 0.5
    means = [10 * np.log10((wave**2).mean()) for wave in (voice, paused)]
    assert means[0] - means[1] > 4


def test_steady_sound_has_its_mean_power():
    wave = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    assert float(active_power(*batch_of(wave))[0]) == pytest.approx(0.01, rel=0.03)


def test_silence_has_no_power_and_a_click_has_its_mean():
    click = np.zeros(RATE, np.float32)
    click[5000] = 1
    padded, lengths = batch(np.zeros(RATE, np.float32), click)
    assert torch.allclose(active_power(padded, lengths), torch.tensor([0.0, 1 / RATE]), rtol=0.9)
    assert float(active_power(padded, lengths)[0]) == 0


def test_padding_and_mates_do_not_matter():
    voices = [syllables(0.7, 1), syllables(2.0, 2), syllables(0.01, 3)]
    padded, lengths = batch(*voices)
    padded = torch.where(torch.arange(padded.shape[1]) < lengths[:, None], padded, 0.0)
    together = active_power(padded, lengths)
    alone = torch.cat([active_power(*batch_of(voice)) for voice in voices])
    assert torch.allclose(together, alone, rtol=1e-6)
