"""Another toolkit's checkpoint into a trunk of ours, and back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.models.weights.checkpoint import COUNTER, is_ignored, read_checkpoint
from vivavoce.models.weights.families import FAMILIES
from vivavoce.models.weights.layout import Layout, TrunkConfig
from vivavoce.models.weights.registry import Found, find, fitting, layout_of
from vivavoce.models.weights.trunk_file import TrunkFile, TrunkInfo, blank_weights
from vivavoce.signal.melspec import MelSpecConfig
from vivavoce.signal.voice import FbankConfig


class Imported(NamedTuple):
    """A trunk, and what of its checkpoint is not part of it."""

    trunk: TrunkFile
    left_out: list[str]


def import_checkpoint(path: Path, family: str, architecture: str | None = None) -> Imported:
    """Read a toolkit's checkpoint as a trunk of ours.

    Args:
        path: `.pt`, `.pth`, `.ckpt`, `.bin` or `.safetensors`.
        family: one of `FAMILIES`.
        architecture: our trunk's type; None: found by the checkpoint's keys.

    Raises:
        UserError: the file is no checkpoint, of another toolkit or architecture, or its weights are not all of them or
            no finite numbers.
    """
    checkpoint = read_checkpoint(path)
    found = find(checkpoint.weights, family, architecture, str(path))
    config, voice, blank = _network(found, path)
    theirs = found.layout.to_theirs(blank)
    unused = _check(found.weights, theirs, f"{path} as {found.architecture} of {FAMILIES[family].title}")
    ours = found.layout.to_ours({key: _float32(found.weights[key], key, path) for key in theirs})
    if ours.keys() != blank.keys():
        raise AssertionError(f"the layout of {found.architecture} does not reach {sorted(blank.keys() ^ ours.keys())}")
    info = TrunkInfo(
        trunk=config,
        mels=voice.num_mel_bins,
        voice=voice,
        voice_norm=FAMILIES[family].voice_norm,
        family=family,
        source_sha256=checkpoint.sha256,
    )
    return Imported(TrunkFile(info, ours), checkpoint.left_out + found.outside + unused)


def export_trunk(config: TrunkConfig, weights: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Lay out a trunk of ours as a toolkit does, without the counters that only training reads.

    Args:
        config: the trunk's config.
        weights: the trunk's state dict.
        family: one of `FAMILIES`.

    Raises:
        UserError: the toolkit has no such architecture, or not this variant of it.
    """
    architecture = config.type
    layout = layout_of(architecture, family)
    title = FAMILIES[family].title
    wrong = {key: value for key, value in _variant(layout, config).items() if getattr(config, key) != value}
    if wrong:
        raise UserError(
            f"{title}'s {architecture} cannot hold this trunk: {_differing(config, wrong)}; export to another toolkit, "
            "or train with the settings it has."
        )
    kept = {key: value for key, value in weights.items() if not key.endswith(COUNTER)}
    theirs = layout.to_theirs(kept)
    there = layout.config(theirs)
    other = {key: value for key, value in there if getattr(config, key) != value}
    if other or layout.to_ours(theirs).keys() != kept.keys():
        raise UserError(
            f"{title}'s {architecture} cannot hold this trunk: {_differing(config, other) or 'it has other weights'}; "
            "export to another toolkit."
        )
    return {f"{layout.prefix}{key}": value for key, value in theirs.items()}


def checkpoint_families(path: Path) -> list[str]:
    """Name the toolkits whose keys a checkpoint has; one at least.

    Raises:
        UserError: the file is no checkpoint, or its keys are those of none.
    """
    weights = read_checkpoint(path).weights
    families = [found.family for found in fitting(weights)]
    return families or [find(weights, next(iter(FAMILIES)), None, str(path)).family]


def _network(found: Found, path: Path) -> tuple[TrunkConfig, FbankConfig | MelSpecConfig, dict[str, Tensor]]:
    """The trunk that a checkpoint's shapes tell, the front end it expects, and the shapes of our weights."""
    title = FAMILIES[found.family].title
    try:
        config, mels = found.layout.config(found.weights), found.layout.mels(found.weights)
        return config, FAMILIES[found.family].voice_config(mels), blank_weights(config, mels)
    except KeyError as error:
        raise UserError(
            f"{path} as {found.architecture} of {title} lacks {error.args[0]}; it is not whole, or of another variant."
        ) from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise UserError(
            f"{path} has weights of shapes that no {found.architecture} of {title} has; it is damaged, or of another "
            "variant."
        ) from error


def _check(given: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> list[str]:
    """Refuse keys that are missing, unknown or of another shape; return those knowingly left out."""
    missing = [key for key in expected if key not in given]
    if missing:
        raise UserError(f"{name} lacks {_some(missing)}; it is not whole, or of another variant.")
    unused = [key for key in given if key not in expected]
    unknown = [key for key in unused if not is_ignored(key)]
    if unknown:
        raise UserError(f"{name} has {_some(unknown)}, for which that network has no place; it is of another variant.")
    for key, value in expected.items():
        if given[key].shape != value.shape:
            raise UserError(
                f"{name}: {key} has the shape {tuple(given[key].shape)}, and beside the other weights it must be "
                f"{tuple(value.shape)}."
            )
    return [key for key in unused if not key.endswith(COUNTER)]


def _float32(value: Tensor, key: str, path: Path) -> Tensor:
    if not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise UserError(f"{path} holds {key} as {kind}; save the network as plain float32 tensors.")
    value = value.float()
    if not value.isfinite().all():
        raise UserError(
            f"{path} holds values in {key} that are no finite numbers; give a checkpoint from before training failed."
        )
    return value


def _variant(layout: Layout, config: TrunkConfig) -> Mapping[str, Any]:
    """The settings that a layout fixes; of sequences, as the config holds them."""
    fixed = type(config).model_validate({**config.model_dump(), **layout.variant})
    return {key: getattr(fixed, key) for key in layout.variant}


def _differing(config: TrunkConfig, there: Mapping[str, Any]) -> str:
    return ", ".join(
        f"model.trunk.{key} is {shown(getattr(config, key))} and there {shown(value)}" for key, value in there.items()
    )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def shown(value: Any) -> str:
    """A value as a configuration has it."""
    return json.dumps(value) if value is None or isinstance(value, bool | tuple) else str(value)
