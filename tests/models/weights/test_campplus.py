import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vivavoce.models.campplus import CamPlusPlusConfig
from vivavoce.models.layers.context_masking import SEGMENT_FRAMES
from vivavoce.models.weights.campplus import LAYOUTS
from vivavoce.models.weights.checkpoint import COUNTER
from vivavoce.models.weights.convert import export_trunk, import_checkpoint

SMALL = CamPlusPlusConfig(
    stem_channels=4, channels=16, layers=(3, 2, 2), growth=8, bottleneck=12, embedding_dim=10
)  # fmt: skip
MELS = 24
Weights = dict[str, Tensor]


def theirs(config: CamPlusPlusConfig = SMALL, mels: int = MELS) -> Weights:
    """Random weights under the toolkits' names, of batch norms that have seen something."""
    torch.manual_seed(3)
    trunk = config.build(mels).train()
    with torch.no_grad():
        trunk(torch.randn(8, mels, 230) * 2)
    ours = {key: value for key, value in trunk.state_dict().items() if not key.endswith(COUNTER)}
    return LAYOUTS["wespeaker"].to_theirs(ours)


def norm(x: Tensor, w: Weights, name: str) -> Tensor:
    scale, shift = w.get(f"{name}.weight"), w.get(f"{name}.bias")
    return functional.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], scale, shift)


def residual(x: Tensor, w: Weights, name: str, stride: int) -> Tensor:
    out = functional.conv2d(x, w[f"{name}.conv1.weight"], stride=(stride, 1), padding=1)
    out = functional.conv2d(norm(out, w, f"{name}.bn1").relu(), w[f"{name}.conv2.weight"], padding=1)
    if stride > 1:
        x = norm(functional.conv2d(x, w[f"{name}.shortcut.0.weight"], stride=(stride, 1)), w, f"{name}.shortcut.1")
    return (norm(out, w, f"{name}.bn2") + x).relu()


def dense(x: Tensor, w: Weights, name: str, dilation: int) -> Tensor:
    out = functional.conv1d(norm(x, w, f"{name}.nonlinear1.batchnorm").relu(), w[f"{name}.linear1.weight"])
    out = norm(out, w, f"{name}.nonlinear2.batchnorm").relu()
    name = f"{name}.cam_layer"
    local = functional.conv1d(out, w[f"{name}.linear_local.weight"], padding=dilation, dilation=dilation)
    segment = functional.avg_pool1d(out, SEGMENT_FRAMES, SEGMENT_FRAMES, ceil_mode=True)
    segment = segment.repeat_interleave(SEGMENT_FRAMES, dim=2)[:, :, : out.shape[2]]
    context = out.mean(dim=2, keepdim=True) + segment
    context = functional.conv1d(context, w[f"{name}.linear1.weight"], w[f"{name}.linear1.bias"]).relu()
    return local * functional.conv1d(context, w[f"{name}.linear2.weight"], w[f"{name}.linear2.bias"]).sigmoid()


def embed(w: Weights, x: Tensor, layers: tuple[int, ...]) -> Tensor:
    """The published network, written down from their code by their names."""
    x = norm(functional.conv2d(x[:, None], w["head.conv1.weight"], padding=1), w, "head.bn1").relu()
    for index in range(4):
        x = residual(x, w, f"head.layer{index // 2 + 1}.{index % 2}", 2 - index % 2)
    x = norm(functional.conv2d(x, w["head.conv2.weight"], stride=(2, 1), padding=1), w, "head.bn2").relu()
    x = functional.conv1d(x.flatten(1, 2), w["xvector.tdnn.linear.weight"], stride=2, padding=2)
    x = norm(x, w, "xvector.tdnn.nonlinear.batchnorm").relu()
    for block, count in enumerate(layers, 1):
        for layer in range(1, count + 1):
            new = dense(x, w, f"xvector.block{block}.tdnnd{layer}", 1 if block == 1 else 2)
            x = torch.cat([x, new], dim=1)
        x = norm(x, w, f"xvector.transit{block}.nonlinear.batchnorm").relu()
        x = functional.conv1d(x, w[f"xvector.transit{block}.linear.weight"])
    x = norm(x, w, "xvector.out_nonlinear.batchnorm").relu()
    x = torch.cat([x.mean(dim=2), x.std(dim=2)], dim=1)
    x = functional.conv1d(x[:, :, None], w["xvector.dense.linear.weight"])[:, :, 0]
    return norm(x, w, "xvector.dense.nonlinear.batchnorm")


@pytest.mark.parametrize("family", sorted(LAYOUTS))
@torch.no_grad()
def test_an_imported_trunk_computes_what_the_toolkit_does(family: str, tmp_path):
    weights = theirs()
    torch.save(weights, tmp_path / "peer.pt")
    file = import_checkpoint(tmp_path / "peer.pt", family).trunk
    assert file.info.trunk == SMALL
    trunk = file.info.trunk.build(file.info.mels).eval()
    trunk.load_state_dict(file.weights, strict=False)
    x = torch.randn(3, MELS, 431, generator=torch.Generator().manual_seed(1))
    ours, peer = trunk(x), embed(weights, x, SMALL.layers)
    assert functional.cosine_similarity(ours, peer).min() > 0.99999
    # Their deviation has no floor under its root.
    torch.testing.assert_close(ours, peer, atol=2e-3, rtol=1e-3)


def test_there_and_back_changes_no_bit():
    weights = theirs()
    layout = LAYOUTS["3dspeaker"]
    ours = layout.to_ours(weights)
    back = export_trunk(SMALL, ours, "3dspeaker")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)


def test_the_published_network_has_its_937_entries():
    with torch.device("meta"):
        trunk = CamPlusPlusConfig().build(80)
    weights = LAYOUTS["wespeaker"].to_theirs(trunk.state_dict())
    assert len(weights) == 937
    assert LAYOUTS["wespeaker"].recognises(weights)
    assert LAYOUTS["wespeaker"].config(weights) == CamPlusPlusConfig()
    assert LAYOUTS["wespeaker"].mels(weights) == 80
    # Of each part one name as the published checkpoints have it.
    assert {
        **{"head.layer2.0.shortcut.1.running_mean": (32,), "head.conv2.weight": (32, 32, 3, 3)},
        **{"xvector.tdnn.nonlinear.batchnorm.bias": (128,), "xvector.transit3.linear.weight": (512, 1024, 1)},
        **{"xvector.block2.tdnnd24.cam_layer.linear2.bias": (32,), "xvector.dense.linear.weight": (512, 1024, 1)},
        **{"xvector.block3.tdnnd16.nonlinear1.batchnorm.weight": (992,)},
    }.items() <= {key: tuple(value.shape) for key, value in weights.items()}.items()
