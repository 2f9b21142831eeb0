import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.models.layers.padding import pad_reflect
from vivavoce.models.xvector import FRAMES_SEEN, PRESETS, XVector, XVectorConfig

MELS = 20
SIZES = {"channels": 16, "pooled_channels": 24, "embedding_dim": 12}
NORM = ("running_mean", "running_var", "num_batches_tracked")


def trained(preset: str) -> XVector:
    torch.manual_seed(0)
    trunk = XVectorConfig.preset(preset, **SIZES).build(MELS)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        trunk(torch.randn(8, MELS, 60) * 2 + 1)
    return trunk.eval()


def test_the_default_has_the_state_dict_that_trained_runs_have():
    layers = ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]
    expected = [f"{layer}.conv.{name}" for layer in layers for name in ("weight", "bias")]
    expected += [f"{layer}.norm.{name}" for layer in layers for name in ("weight", "bias", *NORM)]
    expected += ["embedding.weight", "embedding.bias"]
    assert sorted(XVectorConfig().build(80).state_dict()) == sorted(expected)
    assert XVectorConfig() == XVectorConfig.preset("default")


def test_default_embeddings_are_those_of_a_plain_network():
    """What runs that were trained before there were variants compute must stay."""
    trunk = trained("default")
    x = torch.randn(2, MELS, 50)
    y = x
    with torch.no_grad():
        for layer in (trunk.stem, *trunk.blocks):
            y = layer.norm(layer.conv(y).relu())  # pyright: ignore
        mean = y.mean(dim=2)
        std = ((y - mean[:, :, None]).square().mean(dim=2)).clamp(min=1e-7).sqrt()
        torch.testing.assert_close(trunk(x), trunk.embedding(torch.cat([mean, std], dim=1)))
        assert trunk.blocks[1].conv.padding == (3,)  # pyright: ignore


@pytest.mark.parametrize(
    ("preset", "mels", "millions"), [("speechbrain", 24, 4.212), ("wespeaker", 80, 4.611), ("3dspeaker", 80, 4.348)]
)
def test_presets_have_the_peers_numbers_of_parameters(preset: str, mels: int, millions: float):
    trunk = XVectorConfig.preset(preset).build(mels)  # pyright: ignore[reportArgumentType]
    assert round(sum(value.numel() for value in trunk.parameters()) / 1e6, 3) == millions


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(FRAMES_SEEN + 1, 70), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_neither_padding_nor_batch_mates_change_an_embedding(preset: str, lengths: list[int], seed: int):
    trunk = trained(preset)
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths) + seed % 3
    x = torch.randn(len(lengths), MELS, longest, generator=generator)
    mask = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
    x = torch.where(mask[:, None, :], x, torch.tensor(50.0))
    with torch.no_grad():
        together, stems = trunk(x, mask), trunk.stem(x, mask)
        for row, length in enumerate(lengths):
            alone = x[row : row + 1, :, :length]
            torch.testing.assert_close(together[row], trunk(alone)[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(stems[row, :, :length], trunk.stem(alone)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_stem_gives_every_frame_and_gradients_stay_finite(preset: str):
    trunk = trained(preset).train()
    x = torch.zeros(3, MELS, 40)
    x[0] = torch.randn(MELS, 40)
    assert trunk.stem(x).shape == (3, 16, 40)
    trunk(x, torch.arange(40)[None, :] < torch.tensor([[40], [30], [25]])).sum().backward()
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in trunk.parameters())


def test_an_unpadded_trunk_refuses_too_few_frames():
    trunk = trained("wespeaker")
    trunk(torch.randn(1, MELS, FRAMES_SEEN + 1))
    with pytest.raises(ValueError, match="15 frames are too few"):
        trunk(torch.randn(1, MELS, FRAMES_SEEN))


@given(length=st.integers(5, 20), behind=st.integers(0, 6), width=st.integers(0, 4))
def test_reflection_is_pytorchs_at_each_utterances_own_end(length: int, behind: int, width: int):
    x = torch.randn(1, 2, length + behind)
    mask = torch.arange(length + behind)[None, :] < length
    expected = torch.nn.functional.pad(x[:, :, :length], (width, width), mode="reflect") if width else x[:, :, :length]
    assert torch.equal(pad_reflect(x, width, mask)[:, :, : length + 2 * width], expected)
