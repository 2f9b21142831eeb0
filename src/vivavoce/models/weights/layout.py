"""How one toolkit lays out the weights of one architecture."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vivavoce.models.campplus import CamPlusPlusConfig
from vivavoce.models.ecapa_tdnn import EcapaConfig
from vivavoce.models.xvector import XVectorConfig

TrunkConfig = XVectorConfig | EcapaConfig | CamPlusPlusConfig
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One family's state dict of one trunk, and how it maps to ours and back without loss.

    Every function takes the trunk's weights alone: wrappers, classifier heads and batch norm's `num_batches_tracked`
    are left out before, on both sides.
    """

    config: Callable[[Weights], TrunkConfig]  # our trunk config: `variant` with the sizes of their weights
    mels: Callable[[Weights], int]  # their input bins
    to_ours: Callable[[Weights], dict[str, Tensor]]  # keys it does not know are passed over; who calls it checks that
    to_theirs: Callable[[Weights], dict[str, Tensor]]
    recognises: Callable[[Collection[str]], bool]  # by keys alone: enough of them to tell it from other architectures
    variant: Mapping[str, Any]  # settings of our trunk config that this layout cannot express otherwise
    prefix: str = ""  # that the toolkit's own loading expects before every key of an export; an import takes it off


def renamed(weights: Weights, modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Rename modules, each to another whole name (``a.b`` in ``a.b.weight``); weights of others are passed over."""
    parted = ((key.rpartition("."), value) for key, value in weights.items())
    return {f"{modules[module]}.{name}": value for (module, _, name), value in parted if module in modules}
