"""The toolkits whose weights are known, and the voice front end each computes before its networks."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter

from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS, PEER_VOICE_NORM
from vivavoce.signal.melspec import MelSpecConfig
from vivavoce.signal.normalize import NormConfig
from vivavoce.signal.voice import FbankConfig

VoiceConfig = Annotated[FbankConfig | MelSpecConfig, Field(discriminator="type")]
_VOICE = TypeAdapter(VoiceConfig)
_NORM = TypeAdapter(NormConfig)


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


_TITLES = {
    "wespeaker": "WeSpeaker",
    "speechbrain": "SpeechBrain",
    "3dspeaker": "3D-Speaker",
    "tao": "TaoRuijie's ECAPA-TDNN",
}
FAMILIES = {name: Family(name, title) for name, title in _TITLES.items()}
