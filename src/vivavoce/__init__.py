"""Voice login that a recording cannot fool.

The public interface; heavy parts are imported when first asked for.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Experiment", "Verifier", "evaluate", "train"]

if TYPE_CHECKING:
    from vivavoce.assessment import evaluate
    from vivavoce.experiment import Experiment, train
    from vivavoce.verifier import Verifier

_HOMES = {
    "Experiment": "vivavoce.experiment",
    "Verifier": "vivavoce.verifier",
    "evaluate": "vivavoce.assessment",
    "train": "vivavoce.experiment",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vivavoce' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
