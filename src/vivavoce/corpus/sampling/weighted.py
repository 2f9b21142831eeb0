"""Draws by weight, as ``torch.utils.data.WeightedRandomSampler`` does."""

from typing import Literal

import numpy as np
from pydantic import Field

from vivavoce.corpus.sampling.base import BatchSpec, PlannedSampler, PlannedSamplerConfig, cut
from vivavoce.corpus.sampling.items import Items
from vivavoce.errors import UserError


class WeightedConfig(PlannedSamplerConfig):
    """Recordings by the weights of a column's values; inverse frequencies make a stratified draw."""

    type: Literal["weighted"] = "weighted"
    column: str = Field(default="kind", description="`kind`, `speaker` or another column of the metadata")
    weights: Literal["inverse_frequency", "as_given"] | dict[str, float] = Field(
        default="inverse_frequency",
        description="inverse_frequency: each value of the column alike often; as_given: the column's numbers are the "
        "weights; or the weight of a recording with each value",
    )
    replacement: bool = Field(default=True, description="a recording may come more than once an epoch")
    num_samples: int | None = Field(default=None, ge=1, description="recordings an epoch takes; None: as many as are")
    drop_last: bool = Field(default=True, description="leave out a last batch that is not full")

    def sampler(self, items: Items, spec: BatchSpec) -> "WeightedSampler":
        """Make the sampler."""
        weights = self.item_weights(items)
        return WeightedSampler(weights, self.num_samples or len(items), self.replacement, spec, self.drop_last)

    def item_weights(self, items: Items) -> np.ndarray:
        """Weight of each item; (items,) float.

        Raises:
            UserError: there is no such column, a value of it has no weight, or one that is asked for is not a number.
        """
        column = items.column(self.column)
        if self.weights == "as_given":
            return _numbers(column, self.column)
        values, index, counts = np.unique(column.astype(str), return_inverse=True, return_counts=True)
        if self.weights == "inverse_frequency":
            return (1 / counts)[index]
        if strange := sorted(set(self.weights) - set(values)) or sorted(set(values) - set(self.weights)):
            raise UserError(
                f"The weights name {', '.join(sorted(self.weights))}, but the column {self.column!r} holds "
                f"{', '.join(values[:20])}; give every value a weight and no others ({strange[0]} is amiss)."
            )
        return np.array([self.weights[value] for value in values])[index]


class WeightedSampler(PlannedSampler):
    """Draws ``num_samples`` items an epoch, each draw with a probability proportional to the weights of the items left.

    Raises:
        UserError: a weight is negative or not finite, all are zero, or fewer items have a weight than are to be drawn
            without replacement.
    """

    def __init__(
        self, weights: np.ndarray, num_samples: int, replacement: bool, spec: BatchSpec, drop_last: bool = True
    ) -> None:
        super().__init__(spec)
        _check(weights, num_samples, replacement)
        self.weights = weights / weights.max()
        self.num_samples = num_samples
        self.replacement = replacement
        self.drop_last = drop_last

    def order(self, epoch: int) -> np.ndarray:
        """Items of an epoch; (num_samples,) int64."""
        rng = self.generator(epoch)
        if self.replacement:
            return rng.choice(len(self.weights), self.num_samples, p=self.weights / self.weights.sum())
        # Draws one after another without replacement are the order of exponential waiting times with these rates
        # (Efraimidis & Spirakis 2006, "Weighted random sampling with a reservoir"); torch.multinomial does the same.
        with np.errstate(divide="ignore"):
            waiting = rng.exponential(size=len(self.weights)) / self.weights
        return np.argsort(waiting, kind="stable")[: self.num_samples]

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Global batches of an epoch; each (batch,) int64."""
        return cut(self.order(epoch), self.spec.batch, self.drop_last)


def _numbers(column: np.ndarray, name: str) -> np.ndarray:
    try:
        return column.astype(float)  # None becomes NaN
    except (ValueError, TypeError) as error:
        raise UserError(
            f"The column {name!r} is to give the weights, but not all of it are numbers ({error}); correct the "
            "manifest, or weight by inverse_frequency."
        ) from error


def _check(weights: np.ndarray, num_samples: int, replacement: bool) -> None:
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        raise UserError(
            f"{int(wrong.sum())} of {len(weights)} sampling weights are negative or not numbers (first: "
            f"{weights[wrong][0]} of recording {int(wrong.argmax())}); give weights from 0 up."
        )
    positive = int(np.count_nonzero(weights))
    if not positive:
        raise UserError("The sampling weights sum to zero, so nothing can be drawn; give at least one above 0.")
    if not replacement and num_samples > positive:
        raise UserError(
            f"{num_samples} recordings are to be drawn without replacement, but only {positive} have a weight above 0; "
            "lower num_samples, or draw with replacement."
        )
