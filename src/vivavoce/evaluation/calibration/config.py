"""What `vivavoce calibrate` can be asked for."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.evaluation.calibration.decision import Aim, CostAim
from vivavoce.evaluation.calibration.fusion import FusionName
from vivavoce.evaluation.calibration.known import Condition
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5

Quality = Literal["duration", "snr_db", "level_dbfs"]


class CalibrationConfig(BaseModel):
    """How scores become ratios, ratios a decision, and where its threshold lies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["logistic", "isotonic"] = "logistic"
    fusion: FusionName = "rule"
    condition: Condition | None = Field(default=None, description="what each has a map of its own; None: nothing")
    quality: tuple[Quality, ...] = Field(default=(), description="measures of a recording that shift the line")
    aim: Aim = CostAim(costs=ASVSPOOF5)

    @model_validator(mode="after")
    def _quality_shifts_a_line(self) -> Self:
        if self.quality and self.method != "logistic":
            raise ValueError("quality measures shift a line, so they go with the logistic method")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the line that training fits is all that is asked for."""
        return self.method == "logistic" and self.condition is None and not self.quality
