"""x-vector weights of WeSpeaker, 3D-Speaker and SpeechBrain: the same layers under other names.

Sources: WeSpeaker `models/tdnn.py`, 3D-Speaker `models/xvector/TDNN.py`, SpeechBrain `lobes/models/Xvector.py`.
"""

from collections.abc import Collection

from torch import Tensor

from vivavoce.models.weights.layout import Layout, Weights, renamed
from vivavoce.models.xvector import PRESETS, Preset, XVectorConfig

# Ours on the left: modules in the order of the network.
_FRAMES = ["stem", *(f"blocks.{index}" for index in range(4))]
_KALDI_LIKE = {
    **{f"{ours}.conv": f"frame_{index}.conv_1d" for index, ours in enumerate(_FRAMES, 1)},
    **{f"{ours}.norm": f"frame_{index}.bn" for index, ours in enumerate(_FRAMES, 1)},
}
# Convolution, rectifier and batch norm are three entries of one list; pooling is number 15.
_SPEECHBRAIN = {
    **{f"{ours}.conv": f"blocks.{3 * index}.conv" for index, ours in enumerate(_FRAMES)},
    **{f"{ours}.norm": f"blocks.{3 * index + 2}.norm" for index, ours in enumerate(_FRAMES)},
    "embedding": "blocks.16.w",
}
_WESPEAKER = {**_KALDI_LIKE, "segment.affine": "seg_1", "segment.norm": "seg_bn_1", "embedding": "seg_2"}
_3DSPEAKER = {**_KALDI_LIKE, "embedding": "seg_1"}


def _layout(family: Preset, names: dict[str, str], absent: Collection[str] = ()) -> Layout:
    stem, last, embedding = (f"{names[part]}.weight" for part in ("stem.conv", "blocks.3.conv", "embedding"))

    def config(weights: Weights) -> XVectorConfig:
        return XVectorConfig.preset(
            family,
            channels=weights[stem].shape[0],
            pooled_channels=weights[last].shape[0],
            embedding_dim=weights[embedding].shape[0],
        )

    def to_ours(weights: Weights) -> dict[str, Tensor]:
        return renamed(weights, {theirs: ours for ours, theirs in names.items()})

    def to_theirs(weights: Weights) -> dict[str, Tensor]:
        return renamed(weights, names)

    def recognises(keys: Collection[str]) -> bool:
        return stem in keys and embedding in keys and not any(key in keys for key in absent)

    return Layout(config, lambda weights: weights[stem].shape[1], to_ours, to_theirs, recognises, PRESETS[family])


LAYOUTS = {
    "wespeaker": _layout("wespeaker", _WESPEAKER),
    "3dspeaker": _layout("3dspeaker", _3DSPEAKER, absent=["seg_2.weight"]),
    "speechbrain": _layout("speechbrain", _SPEECHBRAIN),
}
