"""A trunk's weights in one file that says what they are and which features they expect."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.files import atomic_path
from vivavoce.models.weights.checkpoint import COUNTER
from vivavoce.models.weights.families import FAMILIES, Features, VoiceConfig
from vivavoce.models.weights.layout import TrunkConfig
from vivavoce.signal.normalize import NormConfig

FORMAT, VERSION = "vivavoce-trunk", 1
ANEW = "import the toolkit's checkpoint anew with `vivavoce weights import`"


class TrunkInfo(BaseModel):
    """What a trunk file says of its weights."""

    model_config = ConfigDict(extra="forbid")

    format: str = Field(default=FORMAT, pattern=f"^{FORMAT}$")
    version: int = Field(default=VERSION, ge=1, le=VERSION)
    trunk: Annotated[TrunkConfig, Field(discriminator="type", description="our trunk's config")]
    mels: int = Field(ge=1, description="features of a voice frame")
    voice: VoiceConfig = Field(description="front_end.voice that the weights expect")
    deltas: int = Field(default=0, ge=0, le=2)
    voice_norm: NormConfig = Field(description="model.voice_norm that the weights expect")
    family: str = Field(pattern=f"^({'|'.join(FAMILIES)})$", description="the toolkit that the weights come from")
    source_sha256: str

    @model_validator(mode="after")
    def _features_as_wide_as_the_trunk(self) -> Self:
        if self.mels != (width := self.voice.num_mel_bins * (1 + self.deltas)):
            raise ValueError(f"mels is {self.mels}, and voice and deltas make {width} features")
        return self

    @property
    def features(self) -> Features:
        """What the weights expect."""
        return Features(self.voice, self.deltas, self.voice_norm)


@dataclass(frozen=True)
class TrunkFile:
    """Weights under our trunk's own keys, and what they are."""

    info: TrunkInfo
    weights: dict[str, Tensor]

    def write(self, path: Path) -> None:
        """Write the file and, beside it with the suffix `.yaml`, the piece of configuration that trains on from it.

        Raises:
            UserError: what stands under the piece's name is something else; neither is written.
        """
        fragment, text = fragment_path(path), _fragment(self.info, path).encode()
        if fragment.exists() and not (fragment.is_file() and fragment.read_bytes() == text):
            raise UserError(
                f"{fragment}, where the configuration beside {path.name} belongs, exists and holds something else; "
                "give another --out, or remove it."
            )
        tensors = {key: value.contiguous() for key, value in self.weights.items()}
        metadata = {"info": self.info.model_dump_json()}
        # Both are whole before either has its name.
        with atomic_path(fragment) as beside, atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)
            beside.write_bytes(text)


def fragment_path(path: Path) -> Path:
    """Where the piece of configuration of a trunk file stands."""
    return path.with_suffix(".yaml")


def is_trunk_file(path: Path) -> bool:
    """Tell whether a file is one of ours."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "info" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_trunk_file(path: Path) -> TrunkFile:
    """Read what `TrunkFile.write` wrote; all weights of the trunk it names are there, and of its shapes.

    Raises:
        UserError: the file is missing, damaged, of a later version, or none of ours.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give the file that `vivavoce weights import --out` wrote.")
    if not is_trunk_file(path):
        raise UserError(
            f"{path} is not a trunk file, or not a whole one; make one of another toolkit's checkpoint with "
            "`vivavoce weights import`."
        )
    with safe_open(path, framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        text = file.metadata()["info"]
    try:
        info = TrunkInfo.model_validate(_of_this_version(json.loads(text), path))
        fault = _fault(weights, blank_weights(info.trunk, info.mels))
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"in its description {'.'.join(map(str, first['loc']))} is not possible ({first['msg'].rstrip('.')})"
    except ValueError as error:
        fault = f"its description cannot be read ({error})"
    if fault:
        raise UserError(f"{path} is damaged or of another version of vivavoce: {fault}; {ANEW}.")
    return TrunkFile(info, weights)


def blank_weights(config: TrunkConfig, mels: int) -> dict[str, Tensor]:
    """The names and shapes of a trunk's weights, without memory behind them.

    Raises:
        ValueError: there is no such network.
    """
    try:
        with torch.device("meta"):
            trunk = config.build(mels)
    except (RuntimeError, ArithmeticError) as error:
        raise ValueError("sizes of which no network can be made") from error
    return {key: value for key, value in trunk.state_dict().items() if not key.endswith(COUNTER)}


def _of_this_version(tree: Any, path: Path) -> Any:
    version = tree.get("version") if isinstance(tree, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"{path} is a trunk file of version {version}, and this vivavoce reads version {VERSION}; install one that "
            f"reads it, or {ANEW}."
        )
    return tree


def _fault(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """What is wrong with a file's weights; None: nothing."""
    for key in sorted(given.keys() ^ expected.keys()):
        return f"it lacks {key}" if key in expected else f"{key} has no place in its trunk"
    for key, value in given.items():
        if value.shape != expected[key].shape:
            return f"{key} has the shape {tuple(value.shape)} and not {tuple(expected[key].shape)}"
        if not (value.is_floating_point() and value.isfinite().all()):
            return f"{key} holds what are no finite numbers"
    return None


def _fragment(info: TrunkInfo, path: Path) -> str:
    tree = {
        "model": {
            "name": f"{info.trunk.type}-fused",
            "pretrained": str(path),
            "trunk": info.trunk.model_dump(mode="json"),
            "voice_norm": info.voice_norm.model_dump(mode="json"),
        },
        "front_end": {"voice": info.voice.model_dump(mode="json"), **({"deltas": info.deltas} if info.deltas else {})},
    }
    title = f"# Goes on training the {info.trunk.type} trunk of {path.name}; add `data` and what else you set.\n"
    return title + yaml.safe_dump(tree, sort_keys=False)
