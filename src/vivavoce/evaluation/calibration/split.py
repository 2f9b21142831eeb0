"""The validation split as calibration sees it: scores, classes, speakers, and what is known of each recording."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.logistic import Floats
from vivavoce.evaluation.trials.table import NONTARGET, TARGET

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class CalibrationSplit:
    """Scores of a split that no model was trained on.

    Of a run that knows no speakers each recording is a trial, ``target`` where it is live.

    Attributes:
        liveness: logit of each recording, ``(recordings,)``; NaN is no answer.
        is_live: which recordings are live, ``(recordings,)``.
        is_attack: which are attacks, ``(recordings,)``.
        person: code of the speaker of each, ``(recordings,)``.
        known: what is known of each, ``(recordings,)``.
        doubted: in which a span does not belong to the mouth, so that they are refused, ``(recordings,)``.
        speaker: score of each trial, ``(trials,)``.
        labels: ``target``, ``nontarget`` or the kind of attack of each, ``(trials,)``.
        test: number of the test recording of each, ``(trials,)``.
        enrolled: code of the speaker enrolled in each, ``(trials,)``.
    """

    liveness: Floats
    is_live: Bools
    is_attack: Bools
    person: NDArray[np.intp]
    known: Known
    doubted: Bools
    speaker: Floats
    labels: NDArray[np.str_]
    test: NDArray[np.intp]
    enrolled: NDArray[np.intp]

    @cached_property
    def is_target(self) -> Bools:
        """Which trials are of the user, live, ``(trials,)``."""
        return self.labels == TARGET

    @cached_property
    def is_nontarget(self) -> Bools:
        """Which trials are of another live speaker, ``(trials,)``."""
        return self.labels == NONTARGET

    @cached_property
    def is_spoof(self) -> Bools:
        """Which trials are attacks, ``(trials,)``."""
        return self.is_attack[self.test]

    @cached_property
    def tested(self) -> NDArray[np.intp]:
        """Code of the speaker heard in each trial, ``(trials,)``."""
        return self.person[self.test]

    @cached_property
    def known_of_trials(self) -> Known:
        """What is known of the test recording of each trial, ``(trials,)``."""
        return self.known.take(self.test)
