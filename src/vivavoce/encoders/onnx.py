"""Any speaker encoder in an ONNX file that takes one waveform, or one utterance's log-mel frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vivavoce.encoders.base import Wave, fingerprint_of, optional
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.backends import unit_length
from vivavoce.features.front_end import VOICE_HZ
from vivavoce.models.weights.families import FAMILIES

INSTALL = "pip install onnxruntime"
VERSION = "onnx-1"
EXPECTED = (
    "an encoder has one input of float32, (1, samples) for a waveform or (1, frames, mels) for log-mel frames, whose "
    "number of samples or frames is free"
)


class OnnxOptions(BaseModel):
    """What an ONNX file does not say of itself; given as ``onnx:FILE?input=wave&rate=48000``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Literal["auto", "wave", "wespeaker", "3dspeaker", "speechbrain", "tao"] = Field(
        default="auto", description="a waveform, or frames as that toolkit makes them; auto: wave or wespeaker by rank"
    )
    rate: int = Field(default=VOICE_HZ, ge=8_000, le=96_000, description="Hz of a waveform")
    mels: int | None = Field(default=None, ge=3, description="bins of a frame; None: as the file says, else 80")
    output: str | None = Field(default=None, description="name of the embedding; None: the first output")


@dataclass(frozen=True)
class OnnxEncoder:
    """An ONNX session, asked for one recording at a time, so that no padding is ever seen."""

    name: str
    fingerprint: str
    sample_rate: int
    session: Any
    input_name: str
    output: str
    front_end: torch.nn.Module | None  # None: it takes the waveform

    def embed(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Embed one waveform after the other; see `Encoder.embed`."""
        return np.stack([self._vector(wave) for wave in waves])

    def _vector(self, wave: Wave) -> NDArray[np.float32]:
        given = wave[None] if self.front_end is None else self._frames(self.front_end, wave)
        try:
            found = self.session.run([self.output], {self.input_name: given})[0]
        except Exception as error:  # onnxruntime has a dozen classes for what a file cannot do
            raise UserError(
                f"{self.name} refused an input of shape {given.shape} ({_first_line(error)}); {EXPECTED}."
            ) from error
        vector = np.asarray(found, np.float32).reshape(-1)
        return unit_length(vector)

    def _frames(self, front_end: torch.nn.Module, wave: Wave) -> NDArray[np.float32]:
        """Log-mel frames with the utterance's mean subtracted, ``(1, frames, mels)``."""
        with torch.inference_mode():
            frames = front_end(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))[0]
            return (frames - frames.mean(dim=1, keepdim=True)).numpy()


def load_onnx(path: Path, options: Mapping[str, str]) -> OnnxEncoder:
    """Open an ONNX file.

    Args:
        path: the file.
        options: as `OnnxOptions`.

    Raises:
        UserError: onnxruntime is not installed, the file is missing or no ONNX model, or it is no encoder that fits.
    """
    runtime = optional("onnxruntime", INSTALL)
    settings = _options(options)
    if not path.is_file():
        raise UserError(f"There is no ONNX file {path}; correct the path behind onnx:.")
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen classes for what a file can be
        raise UserError(
            f"{path} is not an ONNX model that runs here ({_first_line(error)}); export it again."
        ) from error
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    shape = inputs[0].shape if len(inputs) == 1 and inputs[0].type == "tensor(float)" else []
    if len(shape) not in (2, 3):
        described = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
        raise UserError(f"{path} takes {described}; {EXPECTED}.")
    if settings.output not in (None, *outputs):
        raise UserError(f"{path} has no output {settings.output}; it has {', '.join(outputs)}.")
    family = settings.input if settings.input != "auto" else ("wave" if len(shape) == 2 else "wespeaker")
    if (family == "wave") != (len(shape) == 2):
        raise UserError(f"{path} takes an input of shape {shape}, and input={family} asks for another; {EXPECTED}.")
    front_end = None
    if family != "wave":
        mels = settings.mels or (shape[2] if isinstance(shape[2], int) else 80)
        front_end = FAMILIES[family].voice_config(mels).build().eval()
    return OnnxEncoder(
        name=path.name,
        fingerprint=fingerprint_of(VERSION, settings.model_dump_json(), path),
        sample_rate=settings.rate if front_end is None else VOICE_HZ,
        session=session,
        input_name=inputs[0].name,
        output=settings.output or outputs[0],
        front_end=front_end,
    )


def _options(options: Mapping[str, str]) -> OnnxOptions:
    try:
        return OnnxOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0]
        allowed = "; ".join(f"{key}: {field.description}" for key, field in OnnxOptions.model_fields.items())
        raise UserError(f"onnx:FILE has no option {name}={first['input']} ({allowed}).") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].strip().rstrip(".") if str(error).strip() else type(error).__name__
