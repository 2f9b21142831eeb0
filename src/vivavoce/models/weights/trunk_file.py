"""A trunk's weights in one file that says what they are and which features they expect."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.files import atomic_path
from vivavoce.signal.normalize import NormConfig

FORMAT = "vivavoce-trunk"


class TrunkInfo(BaseModel):
    """What a trunk file says of its weights."""

    model_config = ConfigDict(extra="forbid")

    format: str = Field(default=FORMAT, pattern=f"^{FORMAT}$")
    version: int = 1
    trunk: dict[str, Any] = Field(description="our trunk's config")
    mels: int = Field(ge=1, description="features of a voice frame")
    voice: dict[str, Any] = Field(description="front_end.voice that the weights expect")
    deltas: int = 0
    voice_norm: NormConfig = Field(description="model.voice_norm that the weights expect")
    family: str = Field(description="the toolkit that the weights come from")
    source_sha256: str

    @property
    def architecture(self) -> str:
        """The trunk's type."""
        return str(self.trunk["type"])


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
    """Read what `TrunkFile.write` wrote.

    Raises:
        UserError: the file is missing, damaged, or none of ours.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}; give the file that `vivavoce weights import --out` wrote.")
    if not is_trunk_file(path):
        raise UserError(
            f"{path} is not a trunk file; make one of another toolkit's checkpoint with `vivavoce weights import`."
        )
    with safe_open(path, framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        text = file.metadata()["info"]
    try:
        return TrunkFile(TrunkInfo.model_validate(json.loads(text)), weights)
    except ValueError as error:
        raise UserError(
            f"{path} was written by another version of vivavoce; import the toolkit's checkpoint anew."
        ) from error


def _fragment(info: TrunkInfo, path: Path) -> str:
    tree = {
        "model": {
            "name": f"{info.architecture}-fused",
            "pretrained": str(path),
            "trunk": info.trunk,
            "voice_norm": info.voice_norm.model_dump(mode="json"),
        },
        "front_end": {"voice": info.voice, **({"deltas": info.deltas} if info.deltas else {})},
    }
    title = f"# Goes on training the {info.architecture} trunk of {path.name}; add `data` and what else you set.\n"
    return title + yaml.safe_dump(tree, sort_keys=False)
