from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.signal.voice import Fbank, FbankConfig, Mfcc, MfccConfig

# Kaldi computes in float32: measured against float64, it is itself up to 5e-3 off in single bands that lie more than
# 80 dB (18.4 nepers) below the loudest band of their frame. Nearer the peak both agree to 1e-3 everywhere.
RESOLVED_NEPERS = 18.4
TOLERANCE = 1e-3


def kaldi(wave: np.ndarray, config: FbankConfig | MfccConfig) -> np.ndarray:
    options = knf.MfccOptions() if isinstance(config, MfccConfig) else knf.FbankOptions()
    frame = options.frame_opts
    frame.dither, frame.snip_edges, frame.window_type = 0, config.snip_edges, config.window
    frame.preemph_coeff, frame.remove_dc_offset = config.preemphasis, config.remove_dc_offset
    options.mel_opts.num_bins = config.num_mel_bins
    options.mel_opts.low_freq, options.mel_opts.high_freq = config.low_freq, config.high_freq
    if isinstance(config, MfccConfig):
        options.num_ceps, options.use_energy = config.num_ceps, config.use_energy
        options.cepstral_lifter = config.cepstral_lifter
        computer = knf.OnlineMfcc(options)
    else:
        options.use_power, options.use_log_fbank = config.use_power, config.use_log_fbank
        computer = knf.OnlineFbank(options)
    computer.accept_waveform(16_000, (wave * config.scale).tolist())
    computer.input_finished()
    rows = [computer.get_frame(i) for i in range(computer.num_frames_ready)]
    return np.stack(rows) if rows else np.zeros((0, 1), dtype=np.float32)


def ours(wave: np.ndarray, front_end: Fbank | Mfcc) -> np.ndarray:
    features, lengths = front_end(torch.tensor(wave)[None], torch.tensor([len(wave)]))
    assert lengths.tolist() == [features.shape[1]]
    return features[0].numpy()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


@pytest.fixture(scope="module")
def speech(shared_data: Path) -> list[np.ndarray]:
    files = sorted((shared_data / "speechocean_adult16k").glob("*.flac"))[::90]
    return [sf.read(file, dtype="float32")[0] for file in files]


@pytest.mark.realdata
@pytest.mark.parametrize("snip_edges", [False, True])
@pytest.mark.parametrize("window", ["povey", "hamming", "hanning"])
def test_fbank_of_real_speech_agrees_with_kaldi(speech: list[np.ndarray], window: str, snip_edges: bool) -> None:
    config = FbankConfig(window=window, snip_edges=snip_edges, high_freq=-400)  # pyright: ignore[reportArgumentType]
    front_end = config.build()
    away = []
    for wave in speech:
        theirs, mine = kaldi(wave, config), ours(wave, front_end)
        assert mine.shape == theirs.shape
        resolved = theirs > theirs.max(axis=1, keepdims=True) - RESOLVED_NEPERS
        assert np.abs(mine - theirs)[resolved].max() <= TOLERANCE
        away.append(np.abs(mine - theirs).ravel())
    assert np.mean(np.concatenate(away) <= TOLERANCE) > 0.9998
    assert np.concatenate(away).max() < 2e-2


@pytest.mark.realdata
@pytest.mark.parametrize("snip_edges", [False, True])
@pytest.mark.parametrize("use_energy", [False, True])
def test_mfcc_of_real_speech_agrees_with_kaldi(speech: list[np.ndarray], use_energy: bool, snip_edges: bool) -> None:
    config = MfccConfig(num_mel_bins=23, num_ceps=13, use_energy=use_energy, snip_edges=snip_edges)
    front_end = config.build()
    away = np.concatenate([np.abs(ours(wave, front_end) - kaldi(wave, config)).ravel() for wave in speech])
    assert np.mean(away <= TOLERANCE) > 0.9998
    assert away.max() < 5e-3


@pytest.mark.parametrize(
    "config",
    [
        FbankConfig(),
        FbankConfig(window="hamming", preemphasis=0.9, remove_dc_offset=False, low_freq=60, high_freq=7600),
        FbankConfig(use_power=False, num_mel_bins=40),
        FbankConfig(scale=1.0, snip_edges=True),
        FbankConfig(preemphasis=0, window="hanning", snip_edges=True),
        MfccConfig(),
        MfccConfig(cepstral_lifter=0, use_energy=True, num_mel_bins=30, num_ceps=20, remove_dc_offset=False),
    ],
)
def test_every_option_means_what_it_means_in_kaldi(config: FbankConfig | MfccConfig) -> None:
    wave = noise(9_000) + np.float32(0.05)  # with a DC offset
    np.testing.assert_allclose(ours(wave, config.build()), kaldi(wave, config), atol=TOLERANCE)


def test_linear_filter_bank_agrees_with_kaldi() -> None:
    config = FbankConfig(use_log_fbank=False)
    np.testing.assert_allclose(ours(noise(5_000), config.build()), kaldi(noise(5_000), config), rtol=5e-4)


@pytest.mark.parametrize("snip_edges", [False, True])
@pytest.mark.parametrize("samples", [1, 79, 80, 81, 119, 121, 240, 399, 400, 401, 560])
def test_very_short_recordings_agree_with_kaldi(samples: int, snip_edges: bool) -> None:
    config = FbankConfig(snip_edges=snip_edges)
    theirs, mine = kaldi(noise(samples), config), ours(noise(samples), config.build())
    assert len(mine) == len(theirs)
    if len(theirs):
        np.testing.assert_allclose(mine, theirs, atol=TOLERANCE)


def test_silence_rests_on_kaldis_floor() -> None:
    config = FbankConfig()
    silence = np.zeros(4_000, dtype=np.float32)
    np.testing.assert_allclose(ours(silence, config.build()), kaldi(silence, config), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), snip_edges=st.booleans(), seed=st.integers(0, 2**16))
def test_padding_and_batch_mates_never_matter(data: st.DataObject, snip_edges: bool, seed: int) -> None:
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=4)))
    torch.manual_seed(seed)
    wave = 0.1 * torch.randn(len(lengths), int(lengths.max()) + data.draw(st.integers(0, 900)))
    spoilt = torch.where(torch.arange(wave.shape[1]) < lengths[:, None], wave, torch.nan)
    for front_end in (FbankConfig(snip_edges=snip_edges).build(), MfccConfig(use_energy=True).build()):
        features, frame_lengths = front_end(spoilt, lengths)
        for item, n in enumerate(lengths.tolist()):
            alone, (frames,) = front_end(wave[item : item + 1, :n], lengths[item : item + 1])
            assert frames == frame_lengths[item]
            torch.testing.assert_close(features[item, :frames], alone[0], rtol=1e-5, atol=1e-5)
            assert not features[item, frames:].any()


def test_frames_are_centred_at_5_ms_and_every_10_ms() -> None:
    wave = np.zeros(16_000, dtype=np.float32)
    wave[8_080] = 0.5  # 505 ms
    features = ours(wave, FbankConfig(remove_dc_offset=False, preemphasis=0).build())
    assert features.sum(axis=1).argmax() == 50


def test_dither_is_for_training_only_and_follows_its_generator() -> None:
    front_end = FbankConfig(dither=1.0).build()
    wave, lengths = torch.zeros(1, 4_000), torch.tensor([4_000])
    first, _ = front_end(wave, lengths, torch.Generator().manual_seed(1))
    again, _ = front_end(wave, lengths, torch.Generator().manual_seed(1))
    other, _ = front_end(wave, lengths, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() > -10  # no longer on the floor
    front_end.eval()
    quiet, _ = front_end(wave, lengths)
    assert quiet.max() < -15


@pytest.mark.realdata
def test_fbank_of_unscaled_speech_rests_on_kaldis_floor(speech: list[np.ndarray]) -> None:
    """At full scale 1, as 3D-Speaker's weights expect it, quiet bands lie below Kaldi's floor."""
    config = FbankConfig(scale=1.0, snip_edges=True)
    for wave in speech:
        theirs, mine = kaldi(wave, config), ours(wave, config.build())
        np.testing.assert_allclose(mine, theirs, atol=1e-2)
        assert mine.min() == pytest.approx(np.log(np.finfo(np.float32).eps), abs=1e-5) or mine.min() > -15.9


def test_unusable_options_are_refused() -> None:
    with pytest.raises(UserError, match="low_freq"):
        FbankConfig(low_freq=9_000).build()
    with pytest.raises(UserError, match="num_ceps"):
        MfccConfig(num_ceps=50, num_mel_bins=40).build()
    with pytest.raises(ValidationError):
        FbankConfig.model_validate({"num_mels": 80})


def test_no_buffer_belongs_to_the_saved_weights() -> None:
    assert not FbankConfig().build().state_dict()
    assert not MfccConfig().build().state_dict()
