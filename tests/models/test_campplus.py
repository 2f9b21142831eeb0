import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vivavoce.models.campplus import CamPlusPlus, CamPlusPlusConfig
from vivavoce.models.layers.context_masking import SEGMENT_FRAMES, ContextMasking, Segments
from vivavoce.models.layers.masking import frame_mask

MELS = 20
SMALL = CamPlusPlusConfig(
    stem_channels=4, channels=16, layers=(3, 2), dilations=(1, 2), growth=8, bottleneck=12, embedding_dim=10
)


def trunk(config: CamPlusPlusConfig = SMALL, seed: int = 0, mels: int = MELS) -> CamPlusPlus:
    """A trunk whose batch norms have statistics other than 0 and 1."""
    torch.manual_seed(seed)
    built = config.build(mels)
    built.train()
    with torch.no_grad():
        built(torch.randn(8, mels, 260) * 2 + 0.3)
    return built.eval()


def test_published_size():
    # Wang et al. 2023, table 3: 7.18 M parameters with an embedding of 512.
    assert sum(p.numel() for p in CamPlusPlusConfig().build(80).parameters()) == pytest.approx(7.18e6, rel=0.005)


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(3, 480), min_size=1, max_size=4), fill=st.sampled_from([0.0, 1e4, torch.nan]))
@torch.no_grad()
def test_batch_mates_and_padding_change_nothing(lengths: list[int], fill: float):
    """Lengths up to three segments, odd and even, so that strides and the last segment end anywhere."""
    model, size = trunk(), max(lengths) + 7
    clean = [torch.randn(MELS, length, generator=torch.Generator().manual_seed(length)) for length in lengths]
    batch = torch.stack([functional.pad(x, (0, size - x.shape[1]), value=fill) for x in clean])
    mask = frame_mask(torch.tensor(lengths), size)
    embeddings, stems = model(batch, mask), model.stem(batch, mask)
    for index, x in enumerate(clean):
        torch.testing.assert_close(embeddings[index], model(x[None])[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(stems[index, :, : x.shape[1]], model.stem(x[None])[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mels", [20, 24, 80])
def test_the_stem_keeps_every_frame_and_an_eighth_of_the_bins(mels: int):
    model = trunk(mels=mels)
    x = torch.randn(2, mels, 31)
    assert model.stem(x).shape == (2, model.stem_channels, 31)
    assert model.stem_channels == 4 * -(-mels // 8)
    assert model(x).shape == (2, model.embedding_dim)


@torch.no_grad()
def test_a_stem_frame_is_local():
    model, x = trunk(), torch.randn(1, MELS, 60)
    changed = x.clone()
    changed[:, :, 30] += 3
    reached = (model.stem(x) != model.stem(changed)).any(dim=1)[0].nonzero()[:, 0].tolist()
    assert 30 in reached
    assert set(reached) <= set(range(20, 41))


def peer_gate(layer: ContextMasking, x: torch.Tensor) -> torch.Tensor:
    """Equations 1 to 4 as the published code has them: pooled with ceil_mode, and a gate for every frame."""
    pooled = functional.avg_pool1d(x, SEGMENT_FRAMES, SEGMENT_FRAMES, ceil_mode=True)
    local = pooled.repeat_interleave(SEGMENT_FRAMES, dim=2)[:, :, : x.shape[2]]
    context = x.mean(dim=2, keepdim=True) + local
    return layer.local(x) * layer.excite(layer.squeeze(context).relu()).sigmoid()


@settings(max_examples=20, deadline=None)
@given(frames=st.one_of(st.sampled_from([1, 99, 100, 101, 200]), st.integers(1, 350)))
@torch.no_grad()
def test_one_gate_a_segment_is_what_one_a_frame_would_be(frames: int):
    torch.manual_seed(frames)
    layer, x = ContextMasking(12, 8, 3, 2), torch.randn(2, 12, frames) + 1
    torch.testing.assert_close(layer(x, Segments.of(x, None)), peer_gate(layer, x), atol=1e-6, rtol=1e-5)


def test_the_array_of_inference_holds_what_training_joins():
    """Without gradients the channels are written in place; both ways give the same embedding."""
    model, x = trunk(), torch.randn(3, MELS, 130)
    joined = model(x)
    with torch.no_grad():
        torch.testing.assert_close(model(x), joined, atol=1e-6, rtol=1e-5)


def test_every_parameter_is_trained_and_padding_has_no_gradient():
    model, x = trunk().train(), torch.randn(3, MELS, 130, requires_grad=True)
    lengths = torch.tensor([130, 90, 50])
    model(x, frame_mask(lengths, 130)).square().sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()} == set()
    assert x.grad is not None
    assert x.grad[1, :, 90:].abs().max() == 0 != x.grad[1, :, :90].abs().max()


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_it_exports_for_any_length(masked: bool):
    model, x = trunk(), torch.randn(2, MELS, 230)
    mask = frame_mask(torch.tensor([230, 170]), 230) if masked else None
    frames = torch.export.Dim.DYNAMIC
    shapes = {"x": {2: frames}, "mask": {1: frames} if masked else None}
    exported = torch.export.export(model, (x, mask), dynamic_shapes=shapes).module()
    for size in (57, 99, 200, 420):
        x = torch.randn(2, MELS, size)
        mask = frame_mask(torch.tensor([size, size - 20]), size) if masked else None
        torch.testing.assert_close(exported(x, mask), model(x, mask), atol=1e-5, rtol=1e-4)


def test_blocks_and_dilations_must_agree():
    with pytest.raises(ValueError, match="3 dilations are given for 2 blocks"):
        CamPlusPlusConfig(layers=(3, 2))
