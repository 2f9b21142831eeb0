"""Samplers and pruners: Optuna's own, with randomness that depends on which trial it is and not on the process."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from vivavoce.tuning.space import Space

# Trials without a comparison: fewer would prune by the luck of the first.
PRUNE_AFTER = 5


class PerTrialSampler(BaseSampler):
    """A sampler that is seeded anew for each trial.

    Optuna's samplers begin their random numbers with the process, so that a resumed study would repeat its first
    draws, and two workers with one seed would try the same. Here the draw depends on the seed and on the trial's place.
    """

    def __init__(self, kind: str, seed: int, place: Callable[[int], int]) -> None:
        self._kind, self._seed, self._place = kind, seed, place
        self._inner = self._seeded(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed for this trial."""
        self._inner = self._seeded(self._place(trial.number))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """See `optuna.samplers.BaseSampler`."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `optuna.samplers.BaseSampler`."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """See `optuna.samplers.BaseSampler`."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """See `optuna.samplers.BaseSampler`."""
        self._inner.after_trial(study, trial, state, values)

    def _seeded(self, place: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        if self._kind == "random":
            return RandomSampler(seed=seed)
        # constant_liar: a worker keeps away from what others are trying just now.
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)


def make_pruner(space: Space, epochs: int) -> BasePruner:
    """Make the pruner of a study whose trials take up to ``epochs`` epochs."""
    if space.pruner == "none":
        return NopPruner()
    if space.pruner == "median":
        # The learning rate rises in the first epochs, which tell little of the last.
        return MedianPruner(n_startup_trials=PRUNE_AFTER, n_warmup_steps=epochs // 4)
    if space.pruner == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)


def quieten() -> None:
    """Keep Optuna from writing to the console; what it has to say, we say."""
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
