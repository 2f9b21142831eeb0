"""The experiment as one tree; each branch lives beside what it configures."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.corpus.sampling import SpeakerBalancedConfig
from vivavoce.errors import UserError
from vivavoce.features.config import FeaturesConfig
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.spec import StoreSpec
from vivavoce.models.heads.sync import SyncConfig
from vivavoce.models.joint import ModelConfig
from vivavoce.objectives.correlation import CorrelationConfig
from vivavoce.objectives.multitask import GradientNormConfig, MultitaskConfig, SumConfig
from vivavoce.objectives.speaker import AamSoftmaxConfig, SpeakerLossConfig
from vivavoce.training.config import TrainingConfig


class DataConfig(BaseModel):
    """Which recordings are trained and validated on: two manifests, or the folds of a cross-validation."""

    model_config = ConfigDict(extra="forbid")

    train: Path | None = Field(default=None, description="manifest of the training recordings")
    validation: Path | None = Field(
        default=None, description="manifest of the validation recordings; thresholds come from it"
    )
    folds: Path | None = Field(default=None, description="folder of `vivavoce split --folds`; `train --fold` picks one")
    closed_set: bool = Field(default=False, description="the speakers of training are those who will be verified")

    @model_validator(mode="after")
    def _one_form(self) -> "DataConfig":
        given = [name for name in ("train", "validation", "folds") if getattr(self, name) is not None]
        if given not in (["train", "validation"], ["folds"]):
            raise ValueError("give either train and validation, or folds alone")
        return self

    def manifests(self) -> tuple[Path, Path]:
        """Return the training and the validation manifest.

        Raises:
            UserError: only folds are given, so that which fold is meant is open.
        """
        if self.train is None or self.validation is None:
            raise UserError(
                f"The configuration names the folds {self.folds} (data.folds); choose one with --fold, or train all "
                "with --fold all."
            )
        return self.train, self.validation

    def of_fold(self, train: Path, validation: Path, closed_set: bool) -> "DataConfig":
        """Return the two manifests of one fold in place of the folder."""
        return DataConfig(train=train, validation=validation, closed_set=closed_set)


class ExperimentConfig(BaseModel):
    """Everything a training run depends on."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    front_end: FrontEndConfig = Field(default_factory=FrontEndConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    speaker: SpeakerLossConfig = Field(default_factory=AamSoftmaxConfig)
    correlation: CorrelationConfig = Field(default_factory=CorrelationConfig)
    multitask: MultitaskConfig = Field(default_factory=SumConfig, description="how the losses of both tasks are joined")
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @model_validator(mode="after")
    def _one_way_to_change_speed(self) -> Self:
        """Refuse speed copies made twice, or by a warp of features that cannot be warped."""
        if self.training.speed_factors == (1.0,) or "speaker" not in self.training.tasks:
            return self  # crops of the speaker task alone are warped
        if self.features.augment.speed is not None and self.features.augment.speed.probability > 0:
            raise UserError(
                "features.augment.speed plays recordings at other speeds and training.speed_factors warps their "
                "features to other speeds; leave the one out, or set the other to [1.0]."
            )
        if not self.front_end.warpable:
            raise UserError(
                "training.speed_factors warps log-mel features, and front_end computes others; set it to [1.0], or "
                "front_end.voice.type to fbank and front_end.deltas to 0."
            )
        return self

    @model_validator(mode="after")
    def _a_gate_to_teach(self) -> Self:
        if self.correlation.gate_weight and not isinstance(self.model.head, SyncConfig):
            raise UserError(
                f"correlation.gate_weight teaches a level gate, and the head {self.model.head.type} has none; set it "
                "to 0, or take a model.name that ends in sync or fused."
            )
        return self

    @model_validator(mode="after")
    def _speakers_to_compare(self) -> Self:
        """Refuse a loss that compares recordings of a speaker where a batch has none to compare."""
        if not self.speaker.compares or "speaker" not in self.training.tasks:
            return self
        name, sampler = self.speaker.type, self.training.speaker_sampler
        each, batch = 1, self.training.speaker_batch  # without P or K a batch has each speaker once before any twice
        if isinstance(sampler, SpeakerBalancedConfig):
            each = sampler.recordings or batch // (sampler.speakers or batch)
        if each < 2:
            raise UserError(
                f"The speaker loss {name} compares two or more recordings of each speaker of a batch; "
                "--set training.speaker_sampler.type=speaker_balanced --set training.speaker_sampler.recordings=4."
            )
        # Each speed is a speaker of its own and is drawn crop by crop, so that a speaker's recordings fall apart.
        if self.training.speed_factors != (1.0,):
            raise UserError(
                f"The speaker loss {name} compares recordings of a speaker, and training.speed_factors makes another "
                "speaker of each speed; --set training.speed_factors=[1.0]."
            )
        speed = self.features.augment.speed
        if speed is not None and speed.probability > 0:
            raise UserError(
                f"The speaker loss {name} compares recordings of a speaker, and features.augment.speed makes another "
                "speaker of each speed; --set features.augment.speed=null."
            )
        return self

    @model_validator(mode="after")
    def _two_tasks_to_join(self) -> Self:
        """Refuse a way of joining two tasks that has nothing to join, or not what it needs."""
        name = self.multitask.type
        if isinstance(self.multitask, SumConfig):
            return self
        if set(self.training.tasks) != {"speaker", "liveness"}:
            raise UserError(
                f"multitask.type {name} joins two tasks, and training.tasks is {', '.join(self.training.tasks)} alone; "
                "--set multitask.type=sum, or train both."
            )
        if self.correlation.weight != 1.0:
            raise UserError(
                f"correlation.weight belongs to multitask.type sum, and {name} weighs the tasks by itself; "
                "--set correlation.weight=1.0."
            )
        if isinstance(self.multitask, GradientNormConfig) and not self.model.head.reads_stem:
            raise UserError(
                f"multitask.type {name} balances the tasks at the stem that they share, and the head "
                f"{self.model.head.type} does not read it; take another model.name, or --set multitask.type=sum."
            )
        return self

    def store_spec(self) -> StoreSpec:
        """How the features of the training recordings are kept offline."""
        features = self.features
        seed = self.seed if features.seed is None else features.seed
        return StoreSpec(self.front_end, features.augment, features.copies, seed)
