"""ECAPA-TDNN weights of SpeechBrain, 3D-Speaker, WeSpeaker and TaoRuijie: the same layers under other names.

Sources: SpeechBrain `lobes/models/ECAPA_TDNN.py` (whose layers 3D-Speaker and mvector kept), WeSpeaker
`models/ecapa_tdnn.py` and `models/pooling_layers.py` (ASTP), TaoRuijie/ECAPA-TDNN `model.py`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vivavoce.models.ecapa_tdnn import EcapaConfig, Preset
from vivavoce.models.weights.layout import Layout, Weights, renamed

BLOCKS = 3
# What the weights' own shapes and names tell; the rest of a preset has to be known.
SIZES = {"channels", "pooled_channels", "bottleneck", "scale", "embedding_dim"}
TOLD = {"type", "context", "attention", "embedding_norm", *SIZES}


@dataclass(frozen=True)
class _Names:
    """Where a toolkit keeps our modules; `{}` stands for the number of a Res2 convolution, from 0."""

    modules: dict[str, str]  # ours to theirs, outside the blocks
    block: Callable[[int], str]  # prefix of block 0, 1, 2
    inner: dict[str, str]  # ours to theirs, inside a block
    pointwise: frozenset[str]  # our linear layers that they keep as convolutions of one frame

    def of_scale(self, scale: int) -> dict[str, str]:
        """All modules, ours to theirs."""
        found = dict(self.modules)
        for index in range(BLOCKS):
            for ours, theirs in self.inner.items():
                for branch in range(scale - 1 if "{}" in ours else 1):
                    found[f"blocks.{index}.{ours}".format(branch)] = f"{self.block(index)}.{theirs}".format(branch)
        return found

    def is_pointwise(self, key: str) -> bool:
        """Whether a weight of ours has two dimensions where theirs has three."""
        module, _, name = key.rpartition(".")
        return name == "weight" and any(module == one or module.endswith(f".{one}") for one in self.pointwise)


def _tdnn(ours: str, conv: str, norm: str) -> dict[str, str]:
    return {f"{ours}.conv": conv, f"{ours}.norm": norm}


SPEECHBRAIN = _Names(
    modules={
        **_tdnn("stem", "blocks.0.conv.conv", "blocks.0.norm.norm"),
        **{"aggregate": "mfa.conv.conv", "aggregate_norm": "mfa.norm.norm"},
        **{"pooling.score.0": "asp.tdnn.conv.conv", "pooling.score.2": "asp.tdnn.norm.norm"},
        **{"pooling.score.4": "asp.conv.conv", "pooled_norm": "asp_bn.norm", "embedding": "fc.conv"},
    },
    block=lambda index: f"blocks.{index + 1}",
    inner={
        **_tdnn("expand", "tdnn1.conv.conv", "tdnn1.norm.norm"),
        **_tdnn("res2.blocks.{}", "res2net_block.blocks.{}.conv.conv", "res2net_block.blocks.{}.norm.norm"),
        **_tdnn("project", "tdnn2.conv.conv", "tdnn2.norm.norm"),
        **{"gate.squeeze": "se_block.conv1.conv", "gate.excite": "se_block.conv2.conv"},
    },
    pointwise=frozenset({"gate.squeeze", "gate.excite", "embedding"}),
)
WESPEAKER = _Names(
    modules={
        **_tdnn("stem", "layer1.conv", "layer1.bn"),
        **{"aggregate": "conv", "pooling.score.0": "pool.linear1", "pooling.score.4": "pool.linear2"},
        **{"pooled_norm": "bn", "embedding": "linear", "embedding_norm": "bn2"},
    },
    block=lambda index: f"layer{index + 2}.se_res2block",
    inner={
        **_tdnn("expand", "0.conv", "0.bn"),
        **_tdnn("res2.blocks.{}", "1.convs.{}", "1.bns.{}"),
        **_tdnn("project", "2.conv", "2.bn"),
        **{"gate.squeeze": "3.linear1", "gate.excite": "3.linear2"},
    },
    pointwise=frozenset(),
)
TAO = _Names(
    modules={
        **_tdnn("stem", "conv1", "bn1"),
        **{"aggregate": "layer4", "pooling.score.0": "attention.0", "pooling.score.2": "attention.2"},
        **{"pooling.score.4": "attention.4", "pooled_norm": "bn5", "embedding": "fc6", "embedding_norm": "bn6"},
    },
    block=lambda index: f"layer{index + 1}",
    inner={
        **_tdnn("expand", "conv1", "bn1"),
        **_tdnn("res2.blocks.{}", "convs.{}", "bns.{}"),
        **_tdnn("project", "conv3", "bn3"),
        **{"gate.squeeze": "se.se.1", "gate.excite": "se.se.3"},
    },
    pointwise=frozenset({"gate.squeeze", "gate.excite"}),
)


def _scale(weights: Weights, expand: str, branch: str) -> int:
    """Chunks of a Res2 convolution: channels of the block by those of one chunk."""
    return weights[f"{expand}.weight"].shape[0] // weights[f"{branch}.weight"].shape[0]


def _layout(family: Preset, names: _Names, prefix: str = "") -> Layout:
    theirs = names.of_scale(2)
    expand, branch = theirs["blocks.0.expand.conv"], theirs["blocks.0.res2.blocks.0.conv"]

    def shape(weights: Weights, module: str) -> tuple[int, ...]:
        return tuple(weights[f"{theirs[module]}.weight"].shape)

    def config(weights: Weights) -> EcapaConfig:
        pooled = shape(weights, "aggregate")[0]
        told: dict[str, Any] = {"attention": shape(weights, "pooling.score.0")[0]}
        if shape(weights, "pooling.score.0")[1] == pooled:
            told["context"] = "none"
        if "embedding_norm" in theirs:
            told["embedding_norm"] = f"{theirs['embedding_norm']}.weight" in weights
        return EcapaConfig.preset(
            family,
            channels=shape(weights, "stem.conv")[0],
            pooled_channels=pooled,
            bottleneck=shape(weights, "blocks.0.gate.squeeze")[0],
            scale=_scale(weights, expand, branch),
            embedding_dim=shape(weights, "embedding")[0],
            **told,
        )

    def to_ours(weights: Weights) -> dict[str, Tensor]:
        modules = names.of_scale(_scale(weights, expand, branch))
        ours = renamed(weights, {value: key for key, value in modules.items()})
        return {key: value[:, :, 0] if names.is_pointwise(key) else value for key, value in ours.items()}

    def to_theirs(weights: Weights) -> dict[str, Tensor]:
        modules = names.of_scale(_scale(weights, "blocks.0.expand.conv", "blocks.0.res2.blocks.0.conv"))
        shaped = {key: value[:, :, None] if names.is_pointwise(key) else value for key, value in weights.items()}
        return renamed(shaped, modules)

    def recognises(keys: Collection[str]) -> bool:
        return all(f"{theirs[one]}.weight" in keys for one in ("stem.conv", "blocks.2.res2.blocks.0.conv", "aggregate"))

    fixed = {key: value for key, value in EcapaConfig.preset(family) if key not in TOLD}
    return Layout(config, lambda weights: shape(weights, "stem.conv")[1], to_ours, to_theirs, recognises, fixed, prefix)


LAYOUTS = {
    "wespeaker": _layout("wespeaker", WESPEAKER),
    "speechbrain": _layout("speechbrain", SPEECHBRAIN),
    "3dspeaker": _layout("speechbrain", SPEECHBRAIN),
    # Its loading passes over keys that its ECAPAModel, which has the network as speaker_encoder, does not know.
    "tao": _layout("tao", TAO, "speaker_encoder."),
}
