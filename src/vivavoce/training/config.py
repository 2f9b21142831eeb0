"""How a model is trained."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from vivavoce.corpus.sampling import RandomConfig, SamplerConfig, SpeakerBalancedConfig
from vivavoce.errors import UserError


class TrainingConfig(BaseModel):
    """Length, batches and optimiser of a run."""

    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(default=30, ge=1, description="passes over the recordings of the correlation task")
    liveness_batch: int = Field(default=48, ge=4, description="recordings a step for the correlation task")
    speaker_batch: int = Field(default=64, ge=2, description="crops a step for the speaker task")
    liveness_sampler: SamplerConfig = Field(
        default_factory=RandomConfig, description="which recordings meet in a batch of the correlation task"
    )
    speaker_sampler: SamplerConfig = Field(
        default_factory=SpeakerBalancedConfig, description="which recordings meet in a batch of the speaker task"
    )
    liveness_crop_s: float = Field(default=3.0, ge=1.0, description="seconds of a crop for the correlation task")
    speaker_crop_s: float = Field(default=2.0, ge=0.5, description="seconds of a crop for the speaker task")
    swaps: int = Field(default=1, ge=0, description="swapped-echo negatives made of each live crop of a batch")
    replacements: int = Field(default=1, ge=0, description="negatives with an attack's echo made of each live crop")
    shifts: int = Field(default=2, ge=0, description="shifted-echo negatives made of each live crop of a batch")
    shift_s: tuple[float, float] = Field(
        default=(0.2, 1.0), description="range of the shift; under 0.12 s it would be label noise (DESIGN §6)"
    )
    speed_factors: tuple[float, ...] = Field(
        default=(1.0, 0.9, 1.1), min_length=1, description="speed copies, each of them a speaker of its own; 1 = as is"
    )
    mask_mels: int = Field(default=10, ge=0, description="widest band of mel bins masked in a crop")
    mask_echo: int = Field(default=8, ge=0, description="widest band of echo channels masked in a crop")
    mask_frames: int = Field(default=20, ge=0, description="longest run of frames masked in a crop")
    learning_rate: float = Field(default=2e-3, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_share: float = Field(default=0.08, ge=0, lt=1, description="share of the run in which the rate rises")
    margin_warmup_share: float = Field(
        default=0.3, ge=0, le=1, description="share of the run in which the margin grows"
    )
    clip_norm: float = Field(default=5.0, gt=0, description="largest gradient norm")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of the voice trunk; auto: bfloat16 where the device computes it natively"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=2, ge=1, description="processes that read, augment and extract")

    @field_validator("shift_s")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] < float("inf"):
            raise ValueError("it must be a shortest and a longest shift in seconds, both above 0")
        return value

    @field_validator("speed_factors")
    @classmethod
    def _plausible(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        # Twice as fast is no voice any more, and a mel warp beyond that would run out of the band.
        if not all(0.5 <= factor <= 2 for factor in value):
            raise ValueError("factors must lie between 0.5 and 2")
        return value

    def torch_device(self) -> torch.device:
        """The device to train on.

        Raises:
            UserError: a GPU is asked for, and there is none.
        """
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("training.device is cuda, but there is no usable GPU here; set it to auto or cpu.")
        return torch.device(self.device)

    def use_bfloat16(self, device: torch.device) -> bool:
        """Whether the voice trunk runs under bfloat16 autocast on ``device``."""
        if self.precision != "auto":
            return self.precision == "bfloat16"
        if device.type == "cuda":
            return torch.cuda.is_bf16_supported()
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
