"""Checkpoints: the best weights as safetensors, the trainer's state beside them, both written whole or not at all."""

import io
import pickle
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from vivavoce.errors import UserError
from vivavoce.files import atomic_path


class TrainerState(TypedDict):
    """All that a run needs to go on as if it had never stopped."""

    learner: dict[str, Any]
    progress: dict[str, Any]
    best: dict[str, Any]
    actor: dict[str, Any]
    data: dict[str, Any]


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the state dict of ``model``."""
    # Written by Python, since the libraries' own writers hide a full disk behind errors of theirs.
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({name: value.contiguous() for name, value in model.state_dict().items()}))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read weights into ``model``.

    Raises:
        UserError: the file is missing or damaged, or belongs to another model.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; the run was not trained to the end of an epoch, so train it again.")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it from a copy or train again.") from error
    own = model.state_dict()
    strange = sorted(set(state) ^ set(own))
    shapes = [name for name in own if name in state and state[name].shape != own[name].shape]
    if strange or shapes:
        example = (shapes or strange)[0]
        raise UserError(
            f"{path} belongs to another model than the config.yaml of its run says: {len(strange) + len(shapes)} of "
            f"{len(own)} weights do not fit, {example} first; put the checkpoint back into the run it came from."
        )
    spoilt = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoilt:
        raise UserError(f"{path} is damaged: {spoilt[0]} holds values that are no numbers; train again.")
    model.load_state_dict(state)


def save_state(state: TrainerState, path: Path) -> None:
    """Write the trainer's state."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(path: Path) -> TrainerState:
    """Read the trainer's state.

    Raises:
        UserError: the file is missing or damaged.
    """
    damaged = f"{path} is damaged; delete the run and train again."
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: there is nothing to resume; train without --resume.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(damaged) from error
    if not isinstance(state, dict) or not TrainerState.__required_keys__ <= state.keys():
        raise UserError(damaged)
    return state  # pyright: ignore[reportReturnType]
