"""How a model is trained."""

from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vivavoce.corpus.metadata import HELD_OUT_KINDS, Kind
from vivavoce.corpus.sampling import RandomConfig, SamplerConfig, SpeakerBalancedConfig
from vivavoce.errors import UserError
from vivavoce.training.averaging import AverageConfig
from vivavoce.training.negatives import NegativesConfig
from vivavoce.training.parameter_groups import FreezeConfig, LayerRatesConfig
from vivavoce.training.precision import Precision
from vivavoce.training.schedules import CosineConfig, ScheduleConfig
from vivavoce.training.stopping import EarlyStoppingConfig

Task = Literal["speaker", "liveness"]
Metric = Literal["eer", "loss", "a_dcf", "speaker_eer", "liveness_eer"]
# Of a crop, s.
LONGEST_S = 600.0
# The tasks without which a metric of the validation split has no value.
NEEDS: dict[Metric, tuple[Task, ...]] = {
    "eer": (),
    "loss": (),
    "a_dcf": ("speaker", "liveness"),
    "speaker_eer": ("speaker",),
    "liveness_eer": ("liveness",),
}


class TrainingConfig(BaseModel):
    """Length, batches and optimiser of a run."""

    model_config = ConfigDict(extra="forbid")

    tasks: tuple[Task, ...] = Field(
        default=("speaker", "liveness"),
        description="what is trained: who speaks, whether voice and mouth belong together",
    )
    epochs: int = Field(
        default=30, ge=1, description="passes over the recordings of the correlation task, or of the only task"
    )
    liveness_batch: int = Field(default=48, ge=4, description="recordings a step for the correlation task")
    speaker_batch: int = Field(default=64, ge=2, description="crops a step for the speaker task")
    liveness_sampler: SamplerConfig = Field(
        default_factory=RandomConfig, description="which recordings meet in a batch of the correlation task"
    )
    speaker_sampler: SamplerConfig = Field(
        default_factory=SpeakerBalancedConfig, description="which recordings meet in a batch of the speaker task"
    )
    liveness_crop_s: float = Field(
        default=4.0, ge=1.0, le=LONGEST_S, description="longest crop for the correlation task, seconds"
    )
    liveness_crop_from: float = Field(
        default=0.4,
        ge=0.25,
        le=1,
        description="shortest one as a share of it; each step draws its own, so that scores of any length agree",
    )
    speaker_crop_s: float = Field(
        default=2.0, ge=0.5, le=LONGEST_S, description="seconds of a crop for the speaker task"
    )
    negatives: NegativesConfig = Field(
        default_factory=NegativesConfig, description="what is made of the live crops of a batch"
    )
    held_out: tuple[Kind, ...] = Field(
        default=HELD_OUT_KINDS,
        description="kinds that neither training nor validation uses, so that a test shows what an unknown attack does",
    )
    validation_crop_s: float | None = Field(
        default=3.0,
        ge=0.5,
        le=LONGEST_S,
        description="the best epoch is judged on the middle of recordings, s; null: on all of them",
    )
    speed_factors: tuple[float, ...] = Field(
        default=(1.0, 0.9, 1.1), min_length=1, description="speed copies, each of them a speaker of its own; 1 = as is"
    )
    mask_mels: int = Field(default=10, ge=0, description="widest band of mel bins masked, in the correlation task")
    mask_echo: int = Field(default=8, ge=0, description="widest band of echo channels masked, in the correlation task")
    speaker_mask_mels: int = Field(default=10, ge=0, description="widest band of mel bins masked, in the speaker task")
    mask_frames: int = Field(default=20, ge=0, description="longest run of frames masked, in the speaker task")
    learning_rate: float = Field(default=2e-3, gt=0, allow_inf_nan=False, description="peak learning rate of AdamW")
    weight_decay: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    schedule: ScheduleConfig = Field(default_factory=CosineConfig, description="how the rate goes over the run")
    best_by: Metric = Field(
        default="eer",
        description="what the best epoch has least of: sum of the equal error rates, sum of the losses, a-DCF, or one",
    )
    margin_warmup_share: float = Field(
        default=0.3, ge=0, le=1, description="share of the run in which the margin grows"
    )
    clip_norm: float = Field(default=5.0, gt=0, description="largest gradient norm")
    accumulate: int = Field(default=1, ge=1, description="batches whose gradients make one step of the optimiser")
    average: AverageConfig | None = Field(
        default=None, description="moving average of the weights, which is then validated and kept; null: none"
    )
    early_stopping: EarlyStoppingConfig | None = Field(
        default=None, description="end where best_by no longer falls; null: train all epochs"
    )
    freeze: tuple[FreezeConfig, ...] = Field(default=(), description="parts that do not learn, or not at first")
    layer_rates: LayerRatesConfig = Field(
        default_factory=LayerRatesConfig, description="parts that learn slower or faster than the rest"
    )
    precision: Precision = Field(
        default="auto", description="of trunk and stream encoders; auto: bfloat16 where the device computes it natively"
    )
    act: bool = Field(
        default=False, description="the diagnosis may lower the rate, end the run or switch focus; see actions.jsonl"
    )
    checkpoint_every_s: float = Field(
        default=600.0, ge=0, description="between checkpoints within an epoch, seconds; one is written after each, too"
    )
    log_every: int = Field(default=10, ge=1, description="steps from one line of steps.jsonl to the next")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = Field(default=2, ge=1, description="processes that read, augment and extract")

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, data: Any) -> Any:
        """Say what became of keys before their sections had a config of their own."""
        given = data if isinstance(data, dict) else {}
        old = [name for name in ("swaps", "replacements", "shifts", "shift_s") if name in given]
        if old:
            raise UserError(
                f"The key training.{old[0]} is of an older version of vivavoce; say in training.negatives which "
                "negatives to make, and train again what that version trained."
            )
        if "warmup_share" in given:
            raise UserError(
                "The key training.warmup_share is of an older version of vivavoce; say training.schedule.warmup_share, "
                "and train again what that version trained."
            )
        return data

    @field_validator("tasks")
    @classmethod
    def _some(cls, value: tuple[Task, ...]) -> tuple[Task, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("name speaker, liveness or both, each once")
        return value

    @model_validator(mode="after")
    def _a_metric_of_what_is_trained(self) -> Self:
        missing = [task for task in NEEDS[self.best_by] if task not in self.tasks]
        if missing:
            raise UserError(
                f"training.best_by is {self.best_by}, and the task {missing[0]} is not trained (training.tasks); take "
                "another metric, or train it."
            )
        return self

    @field_validator("held_out")
    @classmethod
    def _not_the_live(cls, value: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if Kind.LIVE in value:
            raise ValueError("without live recordings there is nothing to train on")
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
