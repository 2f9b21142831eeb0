"""The exponential moving average of the weights (Polyak & Juditsky 1992; decay as in Tarvainen & Valpola 2017)."""

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn


class AverageConfig(BaseModel):
    """An average of the weights over the last steps, which is what is validated, kept and used."""

    model_config = ConfigDict(extra="forbid")

    decay: float = Field(default=0.999, gt=0, lt=1, description="share of the average that a step leaves in place")

    def build(self, model: nn.Module) -> "WeightAverage":
        """Make the average, which begins as the model is."""
        return WeightAverage(self, model)


class WeightAverage(AveragedModel):
    """A copy of a model that holds the moving average of its weights and statistics.

    The first steps count for more, (1 + n) / (10 + n) of them, so that the random weights of the beginning are soon
    forgotten.
    """

    def __init__(self, config: AverageConfig, model: nn.Module) -> None:
        def average(own: PARAM_LIST, latest: PARAM_LIST, count: Tensor | int) -> None:
            taken = int(count)
            get_ema_multi_avg_fn(min(config.decay, (1 + taken) / (10 + taken)))(own, latest, count)

        super().__init__(model, multi_avg_fn=average, use_buffers=True)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.requires_grad_(False)
