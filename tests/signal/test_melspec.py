"""Mel spectrograms beside plain numpy versions of what SpeechBrain and torchaudio compute."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS
from vivavoce.signal.melspec import MelSpec, MelSpecConfig

HOP = 160


def front_end(family: str) -> MelSpec:
    return MelSpecConfig.model_validate(PEER_FRONT_ENDS[family]).build().eval()


def ours(wave: np.ndarray, family: str) -> np.ndarray:
    features, lengths = front_end(family)(torch.tensor(wave)[None], torch.tensor([len(wave)]))
    assert lengths.tolist() == [features.shape[1]]
    return features[0].numpy()


def hamming(size: int, padded: int) -> np.ndarray:
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(size) / size)
    return np.pad(window, (padded - size) // 2)


def power(wave: np.ndarray, n_fft: int, mode: str) -> np.ndarray:
    extended = np.pad(wave.astype(np.float64), n_fft // 2, mode=mode)  # pyright: ignore
    frames = np.lib.stride_tricks.sliding_window_view(extended, n_fft)[::HOP]
    return np.abs(np.fft.rfft(frames * hamming(400, n_fft), axis=1)) ** 2


def hz_edges(low: float, high: float) -> np.ndarray:
    mels = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), 82)
    return 700 * (10 ** (mels / 2595) - 1)


def speechbrain(wave: np.ndarray) -> np.ndarray:
    edges, bins = hz_edges(0, 8000), np.linspace(0, 8000, 201)[:, None]
    slope = (bins - edges[1:-1]) / np.diff(edges)[:-1]
    filters = np.maximum(0, np.minimum(slope + 1, 1 - slope))
    db = 10 * np.log10(np.maximum(power(wave, 400, "constant") @ filters, 1e-10))
    return np.maximum(db, db.max() - 80)


def tao(wave: np.ndarray) -> np.ndarray:
    emphasised = wave - 0.97 * np.concatenate([wave[1:2], wave[:-1]])
    edges, bins = hz_edges(20, 7600), np.linspace(0, 8000, 257)
    filters = np.stack([np.interp(bins, edges[k : k + 3], [0, 1, 0]) for k in range(80)], axis=1)
    return np.log(power(emphasised, 512, "reflect") @ filters + 1e-6)


PEERS = {"speechbrain": speechbrain, "tao": tao}


def noise(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.normal(size=samples) * np.linspace(0.001, 1, samples)).astype(np.float32)


@pytest.mark.parametrize("family", sorted(PEERS))
@pytest.mark.parametrize("samples", [257, 400, 1599, 1600, 9_001])
def test_features_are_the_toolkits(family: str, samples: int) -> None:
    wave = noise(samples)
    np.testing.assert_allclose(ours(wave, family), PEERS[family](wave), atol=2e-3)


@pytest.mark.realdata
@pytest.mark.parametrize("family", sorted(PEERS))
def test_features_of_real_speech_are_the_toolkits(family: str, shared_data: Path) -> None:
    for file in sorted((shared_data / "speechocean_adult16k").glob("*.flac"))[::150]:
        wave = sf.read(file, dtype="float32")[0]
        away = np.abs(ours(wave, family) - PEERS[family](wave))
        assert away.shape[0] == len(wave) // HOP + 1
        assert away.max() < 2e-2
        assert away.mean() < 1e-4


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=4),
    more=st.integers(0, 900),
    family=st.sampled_from(sorted(PEERS)),
)
def test_padding_and_batch_mates_never_matter(lengths: list[int], more: int, family: str) -> None:
    size = torch.tensor(lengths)
    waves = [torch.tensor(noise(n, seed=n)) * (1 + n) for n in lengths]
    batch = torch.full((len(lengths), max(lengths) + more), torch.nan)
    for slot, wave in enumerate(waves):
        batch[slot, : len(wave)] = wave
    features, frames = front_end(family)(batch, size)
    for slot, wave in enumerate(waves):
        alone, (count,) = front_end(family)(wave[None], size[slot : slot + 1])
        assert count == frames[slot]
        torch.testing.assert_close(features[slot, :count], alone[0], rtol=1e-4, atol=1e-3)
        assert not features[slot, count:].any()


def test_an_utterance_is_cut_below_its_own_loudest_value() -> None:
    loud = noise(8_000) * (np.arange(8_000) > 3_000).astype(np.float32)
    quiet = loud * np.float32(0.1)
    both = torch.tensor(np.stack([loud, quiet]))
    features, _ = front_end("speechbrain")(both, torch.tensor([8_000, 8_000]))
    spans = features.amax(dim=(1, 2)) - features.amin(dim=(1, 2))
    torch.testing.assert_close(spans, torch.full((2,), 80.0), atol=1e-3, rtol=0)
    uncut = MelSpecConfig(top_db=None).build()(both, torch.tensor([8_000, 8_000]))[0]
    assert uncut.amin() < features.amin() - 1


def test_a_frame_behind_the_end_is_never_the_loudest() -> None:
    """A click on the last sample lies in the middle of the first frame that does not count."""
    wave = np.zeros(1_759, dtype=np.float32)
    wave[-1] = 0.5
    padded = torch.tensor(np.pad(wave, (0, 800)))[None]
    features, (count,) = front_end("speechbrain")(padded, torch.tensor([len(wave)]))
    np.testing.assert_allclose(features[0, :count], ours(wave, "speechbrain"), atol=1e-4)


def test_silence_rests_on_the_floor() -> None:
    silence = np.zeros(4_000, dtype=np.float32)
    np.testing.assert_allclose(ours(silence, "speechbrain"), -100, atol=1e-4)
    np.testing.assert_allclose(ours(silence, "tao"), np.log(1e-6), atol=1e-4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_fft": 256}, "n_fft"),
        ({"high_freq": 9000.0}, "high_freq"),
        ({"unit": "nepers"}, "top_db"),
        ({"window": "povey"}, "window"),
    ],
)
def test_what_cannot_be_is_refused(given: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MelSpecConfig.model_validate(given)
