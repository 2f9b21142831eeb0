"""The toolkits whose weights are known, and the voice front end each computes before its networks."""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter

from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS, PEER_VOICE_NORM
from vivavoce.signal.melspec import MelSpecConfig
from vivavoce.signal.normalize import NormConfig
from vivavoce.signal.voice import FbankConfig, MfccConfig

VoiceConfig = Annotated[FbankConfig | MelSpecConfig, Field(discriminator="type")]
_VOICE = TypeAdapter(VoiceConfig)
_NORM = TypeAdapter(NormConfig)


class Features(NamedTuple):
    """What a trunk reads."""

    voice: FbankConfig | MfccConfig | MelSpecConfig  # front_end.voice
    deltas: int  # front_end.deltas
    norm: BaseModel  # model.voice_norm

    def apart(self, expected: "Features") -> dict[str, tuple[Any, Any]]:
        """Return the keys of the configuration that are not as expected, each with its value here and there."""
        deltas = {} if self.deltas == expected.deltas else {"front_end.deltas": (self.deltas, expected.deltas)}
        return {
            **keys_apart("model.voice_norm", self.norm, expected.norm),
            **keys_apart("front_end.voice", self.voice, expected.voice),
            **deltas,
        }


def keys_apart(section: str, here: BaseModel, there: BaseModel) -> dict[str, tuple[Any, Any]]:
    """Return the keys of ``there`` that ``here`` has otherwise or (None) not at all, with the values here and there."""
    has, needs = (config.model_dump(mode="json") for config in (here, there))
    return {f"{section}.{key}": (has.get(key), value) for key, value in needs.items() if has.get(key) != value}


@dataclass(frozen=True)
class Family:
    """One toolkit."""

    name: str
    title: str

    def voice_config(self, mels: int) -> FbankConfig | MelSpecConfig:
        """Return the front end that weights of so many input bins expect."""
        return _VOICE.validate_python({**PEER_FRONT_ENDS[self.name], "num_mel_bins": mels})

    @property
    def voice_norm(self) -> NormConfig:
        """What is done to the features before the network."""
        return _NORM.validate_python(PEER_VOICE_NORM)

    def features(self, mels: int) -> Features:
        """Return all of what weights of so many input bins expect."""
        return Features(self.voice_config(mels), 0, self.voice_norm)


_TITLES = {
    "wespeaker": "WeSpeaker",
    "speechbrain": "SpeechBrain",
    "3dspeaker": "3D-Speaker",
    "tao": "TaoRuijie's ECAPA-TDNN",
}
FAMILIES = {name: Family(name, title) for name, title in _TITLES.items()}
