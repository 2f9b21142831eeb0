"""The ECAPA-TDNN trunk: what stays as trained runs have it, and what holds for every variant."""

import pytest
import torch
from torch import Tensor

from vivavoce.models.ecapa_tdnn import PRESETS, EcapaConfig, EcapaTdnn
from vivavoce.models.layers.masking import frame_mask

MELS = 20
SMALL = {"channels": 16, "pooled_channels": 24, "bottleneck": 8, "scale": 4, "embedding_dim": 12}
VARIANTS = [*PRESETS, "no-context"]
# First values of an embedding, from the network as it was before it had variants.
AS_BEFORE = [-1.537444, -1.682642, 5.128675, 0.860253]


def small(variant: str = "default", seed: int = 0) -> EcapaTdnn:
    """A trunk whose batch norms have statistics as after training."""
    torch.manual_seed(seed)
    more = {"context": "none"} if variant == "no-context" else PRESETS[variant]
    trunk = EcapaConfig.model_validate({**SMALL, **more}).build(MELS).train()
    with torch.no_grad():
        for step in range(3):
            trunk(frames(8, 60, seed=step))
    return trunk.eval()


def frames(batch: int, count: int, seed: int) -> Tensor:
    return torch.randn(batch, MELS, count, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def test_keys_of_the_default_network_are_those_of_trained_runs():
    affine, norm = ("weight", "bias"), ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    tdnns = ["stem"]
    gates = []
    for block in ("blocks.0", "blocks.1", "blocks.2"):
        tdnns += [f"{block}.expand", f"{block}.project", *(f"{block}.res2.blocks.{branch}" for branch in range(7))]
        gates += [f"{block}.gate.squeeze", f"{block}.gate.excite"]
    convs = [
        *(f"{tdnn}.conv" for tdnn in tdnns),
        *gates,
        "aggregate",
        "pooling.score.0",
        "pooling.score.4",
        "embedding",
    ]
    norms = [*(f"{tdnn}.norm" for tdnn in tdnns), "aggregate_norm", "pooling.score.2", "pooled_norm"]
    expected = {f"{module}.{name}" for module in convs for name in affine}
    expected |= {f"{module}.{name}" for module in norms for name in norm}
    assert EcapaConfig().build(80).state_dict().keys() == expected


@torch.no_grad()
def test_the_network_without_a_norm_before_pooling_embeds_as_it_did():
    trunk = EcapaConfig.model_validate({**SMALL, "aggregate_norm": False}).build(MELS).eval()
    for index, (name, value) in enumerate(sorted(trunk.state_dict().items())):
        if value.is_floating_point():
            ramp = torch.linspace(-1, 1, value.numel()).roll(index).view_as(value)
            value.copy_(ramp.square() + 0.5 if name.endswith("running_var") else 0.5 * ramp)
    x = torch.linspace(-2, 2, MELS * 40).sin().view(1, MELS, 40)
    found = trunk(x)[0, :4]
    torch.testing.assert_close(found, torch.tensor(AS_BEFORE), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_neither_batch_mates_nor_padding_change_an_embedding(variant):
    trunk = small(variant)
    lengths = torch.tensor([50, 31, 12])
    x = frames(3, 50, seed=5).masked_fill(~frame_mask(lengths, 50)[:, None], 1e3)
    together = trunk(x, frame_mask(lengths, 50))
    for index, length in enumerate(lengths):
        alone = trunk(x[index : index + 1, :, :length])[0]
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_is_trained(variant):
    trunk = small(variant).train()
    trunk(frames(4, 30, seed=1)).square().sum().backward()
    assert {name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.isfinite().all()} == set()


def test_one_network_has_one_config():
    assert EcapaConfig(attention=128) == EcapaConfig()
    assert EcapaConfig.preset("tao").attention == 256
    with pytest.raises(ValueError, match="must be a multiple of scale"):
        EcapaConfig(channels=16, scale=3)
