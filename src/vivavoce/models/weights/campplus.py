"""CAM++ weights of WeSpeaker and 3D-Speaker: the same 937 entries, one of them a convolution where ours is linear.

Sources: WeSpeaker `models/campplus.py`, 3D-Speaker `speakerlab/models/campplus/DTDNN.py` and `layers.py`.
"""

import re
from collections import Counter
from collections.abc import Collection

from torch import Tensor

from vivavoce.models.campplus import CamPlusPlusConfig
from vivavoce.models.layers.residual_stem import BLOCKS
from vivavoce.models.weights.layout import Layout, Weights, renamed

_EMBEDDING = "xvector.dense.linear.weight"
_THEIR_LAYER = re.compile(r"xvector\.block(\d+)\.tdnnd\d+\.linear1\.weight")
_OUR_LAYER = re.compile(r"blocks\.(\d+)\.layers\.\d+\.reduce\.weight")
_DENSE_LAYER = {
    "norm": "nonlinear1.batchnorm",
    "reduce": "linear1",
    "bottleneck_norm": "nonlinear2.batchnorm",
    "masking.local": "cam_layer.linear_local",
    "masking.squeeze": "cam_layer.linear1",
    "masking.excite": "cam_layer.linear2",
}
_RESIDUAL = {"conv1": "conv1", "norm1": "bn1", "conv2": "conv2", "norm2": "bn2"}
_SHORTCUT = {"shortcut.0": "shortcut.0", "shortcut.1": "shortcut.1"}


def _names(layers: Collection[int]) -> dict[str, str]:
    """Our modules and theirs, for dense blocks of so many layers."""
    names = {
        **{"stem.conv": "head.conv1", "stem.norm": "head.bn1", "stem.reduce": "head.conv2"},
        **{"stem.reduce_norm": "head.bn2", "downsample.conv": "xvector.tdnn.linear"},
        **{"downsample.norm": "xvector.tdnn.nonlinear.batchnorm", "norm": "xvector.out_nonlinear.batchnorm"},
        **{"embedding": "xvector.dense.linear", "embedding_norm": "xvector.dense.nonlinear.batchnorm"},
    }
    for index, stride in enumerate(BLOCKS):
        theirs = f"head.layer{index // 2 + 1}.{index % 2}"
        for ours, name in {**_RESIDUAL, **(_SHORTCUT if stride > 1 else {})}.items():
            names[f"stem.blocks.{index}.{ours}"] = f"{theirs}.{name}"
    for block, count in enumerate(layers):
        names[f"transits.{block}.norm"] = f"xvector.transit{block + 1}.nonlinear.batchnorm"
        names[f"transits.{block}.conv"] = f"xvector.transit{block + 1}.linear"
        for layer in range(count):
            for ours, theirs in _DENSE_LAYER.items():
                names[f"blocks.{block}.layers.{layer}.{ours}"] = f"xvector.block{block + 1}.tdnnd{layer + 1}.{theirs}"
    return names


def _layers(keys: Collection[str], layer: re.Pattern[str]) -> list[int]:
    """How many layers each dense block has, by the keys of their first convolutions."""
    blocks = Counter(int(match[1]) for match in map(layer.fullmatch, keys) if match)
    return [blocks[number] for number in sorted(blocks)]


def _config(weights: Weights) -> CamPlusPlusConfig:
    reduce = weights["xvector.block1.tdnnd1.linear1.weight"]
    layers = _layers(weights, _THEIR_LAYER)
    return CamPlusPlusConfig(
        stem_channels=weights["head.conv1.weight"].shape[0],
        channels=reduce.shape[1],
        layers=tuple(layers),
        # Dilations leave no trace in the weights; both toolkits have these and no others.
        dilations=(1, *(2 for _ in layers[1:])),
        growth=weights["xvector.block1.tdnnd1.cam_layer.linear_local.weight"].shape[0],
        bottleneck=reduce.shape[0],
        embedding_dim=weights[_EMBEDDING].shape[0],
    )


def _mels(weights: Weights) -> int:
    return 8 * weights["xvector.tdnn.linear.weight"].shape[1] // weights["head.conv1.weight"].shape[0]


def _to_ours(weights: Weights) -> dict[str, Tensor]:
    ours = renamed(weights, {theirs: ours for ours, theirs in _names(_layers(weights, _THEIR_LAYER)).items()})
    if "embedding.weight" in ours:
        ours["embedding.weight"] = ours["embedding.weight"].squeeze(2)
    return ours


def _to_theirs(weights: Weights) -> dict[str, Tensor]:
    theirs = renamed(weights, _names(_layers(weights, _OUR_LAYER)))
    theirs[_EMBEDDING] = theirs[_EMBEDDING][:, :, None]
    return theirs


def _recognises(keys: Collection[str]) -> bool:
    return {"head.conv1.weight", "xvector.block1.tdnnd1.cam_layer.linear_local.weight", _EMBEDDING} <= set(keys)


_LAYOUT = Layout(_config, _mels, _to_ours, _to_theirs, _recognises, {})
LAYOUTS = {"wespeaker": _LAYOUT, "3dspeaker": _LAYOUT}
