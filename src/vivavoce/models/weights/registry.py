"""All layouts that are known, and which of them fits a checkpoint."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.models.weights import campplus, ecapa, xvector
from vivavoce.models.weights.checkpoint import without_prefix
from vivavoce.models.weights.families import FAMILIES
from vivavoce.models.weights.layout import Layout

# Named as the types of our trunks are.
ARCHITECTURES: dict[str, dict[str, Layout]] = {
    "xvector": xvector.LAYOUTS,
    "ecapa": ecapa.LAYOUTS,
    "campplus": campplus.LAYOUTS,
}


class Found(NamedTuple):
    """The layout of a checkpoint, and its weights without the wrapper's prefix."""

    architecture: str
    family: str
    layout: Layout
    weights: dict[str, Tensor]
    outside: list[str]  # keys without that prefix


def fitting(weights: Mapping[str, Tensor]) -> list[Found]:
    """Every layout whose keys a checkpoint has."""
    found = []
    for architecture, layouts in ARCHITECTURES.items():
        for family, layout in layouts.items():
            inside, outside = without_prefix(weights, layout.recognises)
            if layout.recognises(inside):
                found.append(Found(architecture, family, layout, inside, outside))
    return found


def find(weights: Mapping[str, Tensor], family: str, architecture: str | None, name: str) -> Found:
    """Return the layout of one toolkit that a checkpoint has.

    Args:
        weights: the checkpoint.
        family: the toolkit, one of `FAMILIES`.
        architecture: one of `ARCHITECTURES`; None: found by the keys.
        name: of the file, for the error.

    Raises:
        UserError: the keys are those of another toolkit or architecture, or of none.
    """
    every = fitting(weights)
    found = [one for one in every if one.family == family and architecture in (None, one.architecture)]
    if found:
        return found[0]
    if not every:
        known = ", ".join(f"{kind} ({', '.join(layouts)})" for kind, layouts in ARCHITECTURES.items())
        example = next(iter(weights))
        raise UserError(f"{name} holds no architecture that can be imported (its keys begin with {example}): {known}.")
    fits = " or ".join(f"{one.architecture} of {FAMILIES[one.family].title} (--from {one.family})" for one in every)
    wanted = f"{architecture or 'network'} of {FAMILIES[family].title}"
    raise UserError(f"The keys of {name} are not those of any {wanted} but of {fits}.")


def layout_of(architecture: str, family: str) -> Layout:
    """Return how a toolkit lays out an architecture.

    Raises:
        UserError: the toolkit has no such network.
    """
    layouts = ARCHITECTURES[architecture]
    if family not in layouts:
        raise UserError(
            f"{FAMILIES[family].title} has no {architecture} whose layout is known; choose --to {' or '.join(layouts)}."
        )
    return layouts[family]
