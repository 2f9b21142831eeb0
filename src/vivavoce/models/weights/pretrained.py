"""A training run that begins with the weights of a trunk file."""

import json
from pathlib import Path
from typing import Any, Protocol

from vivavoce.errors import UserError
from vivavoce.models.joint import JointModel
from vivavoce.models.weights.families import Features, keys_apart
from vivavoce.models.weights.trunk_file import TrunkFile, fragment_path, read_trunk_file
from vivavoce.signal.melspec import MelSpecConfig
from vivavoce.signal.voice import FbankConfig, MfccConfig

# More settings than these are not listed one by one: the fragment beside the file has them all.
MOST_LISTED = 6


class VoiceFrontEnd(Protocol):
    """What of the front end's config decides about the voice features."""

    @property
    def voice(self) -> FbankConfig | MfccConfig | MelSpecConfig:
        """The kind of features."""
        ...

    @property
    def deltas(self) -> int:
        """Their deltas."""
        ...


def load_pretrained(model: JointModel, path: Path, front_end: VoiceFrontEnd) -> None:
    """Load a trunk file into a model that is to be trained, where both mean the same network and features.

    Args:
        model: the untrained model; its head keeps what it has.
        path: what `vivavoce weights import` wrote.
        front_end: the run's ``front_end``.

    Raises:
        UserError: the file is none of ours, or its trunk or features differ from the configuration's.
    """
    file = read_trunk_file(path)
    differing = _differing(file, model, front_end)
    if differing:
        fragment = fragment_path(path)
        all_of_them = f"begin with {fragment}, which has them all" if fragment.is_file() else "import the file anew"
        listed = " ".join(f"--set {key}={_as_yaml(value)}" for key, value in differing.items())
        mend = f"give {listed}" if len(differing) <= MOST_LISTED else all_of_them
        raise UserError(
            f"The weights of {path} (model.pretrained) expect another trunk or other voice features than the "
            f"configuration has ({', '.join(differing)}); {mend}."
        )
    model.trunk.load_state_dict(file.weights, strict=False)  # without batch norm's counters, which only training reads


def _differing(file: TrunkFile, model: JointModel, front_end: VoiceFrontEnd) -> dict[str, Any]:
    """Keys of the configuration that are not as the file wants them, with what it wants."""
    info, config = file.info, model.config
    same = config.trunk.type == info.trunk.type
    wanted: dict[str, Any] = {} if same else {"model.name": f"{info.trunk.type}-{config.head.type}"}
    features = Features(front_end.voice, front_end.deltas, config.voice_norm)
    apart = keys_apart("model.trunk", config.trunk if same else type(info.trunk)(), info.trunk)
    wanted |= {key: there for key, (_, there) in (apart | features.apart(info.features)).items()}
    return wanted


def _as_yaml(value: Any) -> str:
    """A value as it is given behind `--set`, quoted for a shell where it has several parts."""
    if isinstance(value, list):
        return f"'{json.dumps(value)}'"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
