"""What to say when a loss or a gradient is no number: which layer it began in, and with which batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vivavoce.errors import UserError
from vivavoce.files import atomic_path


class Diverged(UserError):
    """A run whose numbers are no longer finite; its folder is kept, with the batch that did it."""


def first_layer(modules: nn.Module, forward: Callable[[], Any]) -> str:
    """Say where a forward pass first gives values that are not finite, by running it again.

    Args:
        modules: holds all modules that take part; their names are used.
        forward: the pass, with the randomness it had before.
    """
    spoilt = [name for name, parameter in modules.named_parameters() if not parameter.isfinite().all()]
    if spoilt:
        return f"the weights {spoilt[0]} are not finite"
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not found and not _finite(output):
                found.append(f"the output of {name}" if _finite(inputs) else f"the input of {name}")

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for name, module in modules.named_modules():
            if name:
                hooks.callback(module.register_forward_hook(watch(name)).remove)
        forward()
    return f"{found[0]} is the first that is not finite" if found else "the loss itself is the first that is not finite"


def first_gradient(modules: nn.Module) -> str:
    """Say in which parameter, from the loss backwards, a gradient is first not finite."""
    named = [(name, parameter.grad) for name, parameter in modules.named_parameters() if parameter.grad is not None]
    spoilt = [name for name, gradient in named if not gradient.isfinite().all()]
    return f"the gradient of {spoilt[-1]} is the first that is not finite" if spoilt else "no gradient shows why"


def keep_batch(path: Path, batches: Any, recordings: Sequence[str], **where: int) -> None:
    """Write a step's batches, the names of its recordings, and which step it was."""
    parts = {
        name: None if part is None else dict(zip(part._fields, part, strict=True))
        for name, part in zip(batches._fields, batches, strict=True)
    }
    with atomic_path(path) as temporary:
        torch.save({"batches": parts, "recordings": list(recordings), **where}, temporary)


def _finite(value: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
