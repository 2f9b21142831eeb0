"""Reading a checkpoint of any toolkit down to the tensors of one network, without running what is in it."""

import hashlib
import pickle
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.files import atomic_path

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
# What training scripts wrap a network's weights in, as entries of a dict and as prefixes of keys.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "embedding_model", "backbone", "net")
PREFIXES = ("", *(f"{wrapper}." for wrapper in WRAPPERS), "speaker_encoder.", "mods.embedding_model.", "0.")
# What only training needs (the classifier over its speakers, how many batches batch norm has seen), and a front end.
BESIDE_THE_TRUNK = ("projection", "classifier", "loss", "margin", "speaker_loss", "output", "torchfbank")
COUNTER = "num_batches_tracked"
DEEPEST = 8  # dicts in dicts; a pickle may well hold itself


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file, and which file it was."""

    weights: dict[str, Tensor]
    left_out: list[str]  # entries beside the weights, such as an optimiser's state
    sha256: str


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors` file.

    Raises:
        UserError: it is missing, no checkpoint, or holds Python objects that would have to be run to be read, or
            tensors that are quantised, sparse or without values.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a checkpoint ({', '.join(SUFFIXES)}).")
    content = _load(path)
    weights, left_out = _unwrapped(content)
    if not weights:
        raise UserError(f"{path} holds no weights; give the checkpoint that the other toolkit's training saved.")
    for key, value in weights.items():
        if value.is_quantized or value.is_nested or value.is_meta or value.layout is not torch.strided:
            raise UserError(
                f"{path} holds {key} as a quantised, sparse or empty tensor; save the network as plain float32 tensors."
            )
    return Checkpoint(weights, left_out, hashlib.sha256(path.read_bytes()).hexdigest())


def write_checkpoint(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a state dict as `.safetensors`, or as PyTorch does where the name ends otherwise."""
    from safetensors.torch import save_file

    tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    with atomic_path(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(tensors, temporary)
        else:
            torch.save(tensors, temporary)


def without_prefix(
    weights: Mapping[str, Tensor], fits: Callable[[Collection[str]], bool]
) -> tuple[dict[str, Tensor], list[str]]:
    """Take the wrapper's prefix off the keys, the first under which they fit; also return the keys outside of it."""
    for prefix in PREFIXES:
        inside = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        if fits(inside):
            return inside, [key for key in weights if not key.startswith(prefix)]
    return dict(weights), []


def is_ignored(key: str) -> bool:
    """Tell whether a key is of training or of a front end, so that an import may leave it out."""
    return key.endswith(COUNTER) or key.partition(".")[0] in BESIDE_THE_TRUNK


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol of what is refused a moment later
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes its reader fail in any way
        if isinstance(error, pickle.UnpicklingError) and "Unsupported global" in str(error):
            raise UserError(
                f"{path} holds Python objects besides tensors, which are not loaded since they could run any code; "
                "save its state dict alone with the toolkit it comes from."
            ) from error
        raise UserError(
            f"{path} is no checkpoint that can be read; give a whole one, saved by PyTorch or safetensors."
        ) from error


def _unwrapped(content: Any) -> tuple[dict[str, Tensor], list[str]]:
    """The dict of tensors within dicts of dicts, and the names of what stood beside it."""
    left_out: list[str] = []
    for _ in range(DEEPEST):
        if not isinstance(content, Mapping):
            break
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        inner = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if tensors or inner is None:
            return tensors, left_out
        left_out += [str(name) for name in content if name != inner]
        content = content[inner]
    return {}, left_out
