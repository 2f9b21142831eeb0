"""Scores of the validation split, and what they say: error rates, losses, detection cost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from vivavoce.evaluation.calibration.parts import LogisticCalibration
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.spoofing import A_DCF1, min_a_dcf
from vivavoce.training.config import Metric


def _no_scores() -> np.ndarray:
    return np.empty(0)


class TandemScores(NamedTuple):
    """Trials that both tasks answer: ``(trials, 2)`` of speaker cosine and liveness logit, by class."""

    target: np.ndarray
    nontarget: np.ndarray
    spoof: np.ndarray

    @classmethod
    def of(
        cls, cosines: np.ndarray, logits: np.ndarray, is_target: np.ndarray, is_nontarget: np.ndarray
    ) -> Self | None:
        """Sort trials, ``(trials,)`` each, by class; a logit that is NaN is no answer.

        None where a class has no trial, as where liveness is not trained.
        """
        answered = ~np.isnan(logits)
        both = np.stack([cosines, logits], axis=1)
        classes = (is_target, is_nontarget, ~is_target & ~is_nontarget)
        found = cls(*(both[which & answered] for which in classes))
        return found if all(len(part) for part in found) else None


@dataclass(frozen=True)
class ValidationScores:
    """Scores of the validation split by class; those of a task that is not trained are empty."""

    target: np.ndarray = field(default_factory=_no_scores)  # (targets,) cosines
    nontarget: np.ndarray = field(default_factory=_no_scores)  # (nontargets,) cosines
    live: np.ndarray = field(default_factory=_no_scores)  # (live,) logits
    attack: np.ndarray = field(default_factory=_no_scores)  # (attacks,) logits
    attack_kinds: np.ndarray = field(default_factory=_no_scores)  # (attacks,) which kind each is
    tandem: TandemScores | None = None

    @cached_property
    def speaker_eer(self) -> float | None:
        """Equal error rate of speaker verification; None where it is not trained."""
        return eer(self.target, self.nontarget).rate if len(self.target) else None

    @cached_property
    def liveness_eer(self) -> float | None:
        """Equal error rate of live recordings against all attacks together; None where it is not trained."""
        return eer(self.live, self.attack).rate if len(self.live) else None

    @cached_property
    def liveness_loss(self) -> float | None:
        """Cross-entropy of the liveness logits, the two classes weighted alike, nats; None where it is not trained."""
        return _cross_entropy(self.live, self.attack) if len(self.live) else None

    @cached_property
    def speaker_loss(self) -> float | None:
        """Cross-entropy of the trials' cosines after the best line through them, nats; None where it is not trained.

        The training loss knows classes that the speakers of this split are none of. This asks what verification
        asks, whether two voices are one, and moves with every score where the equal error rate jumps from trial to
        trial. The line is fitted to these very scores, targets and non-targets weighted alike, so that no epoch pays
        for the scale of its cosines: ln 2 says that they tell nothing, near 0 that they separate. It is close to the
        least Cllr that a line can give, times ln 2 (not quite: `LogisticCalibration` softens the labels).

        Source: Brümmer & du Preez, "Application-independent evaluation of speaker detection", Computer Speech &
        Language 20, 2006, Cllr; with a line in place of their isotonic map, which would jump.
        """
        if self._speaker_line is None:
            return None
        ratios = (self._speaker_line.log_likelihood_ratio(part) for part in (self.target, self.nontarget))
        return _cross_entropy(*ratios)

    @cached_property
    def a_dcf(self) -> float | None:
        """Normalised minimum a-DCF of both tasks together, with the priors and costs of `A_DCF1`.

        None where they are not both trained, or a class of trials has no recording with a liveness score.

        Each trial's two scores become log-likelihood ratios, fitted to these very scores, and one score by
        ``-log((1 - rho) exp(-speaker) + rho exp(-liveness))`` with ``rho`` the share of attacks in the cost of
        accepting all: the optimal decision between targets and the mixture of the other two classes, where a sum
        would let a very good voice make up for a mouth that is not there.

        Source: Wang et al., "Revisiting and improving scoring fusion for spoofing-aware speaker verification using
        compositional data analysis", Interspeech 2024 (non-linear fusion).
        """
        if self.tandem is None or self._speaker_line is None:
            return None
        speaker, liveness = self._speaker_line, LogisticCalibration.fit(self.live, self.attack)
        _, others, attacks = A_DCF1.weights
        rho = attacks / (others + attacks)

        def fused(scores: np.ndarray) -> np.ndarray:
            voice, mouth = speaker.log_likelihood_ratio(scores[:, 0]), liveness.log_likelihood_ratio(scores[:, 1])
            return -np.logaddexp(np.log1p(-rho) - voice, np.log(rho) - mouth)

        targets, nontargets, spoofs = (fused(part) for part in self.tandem)
        return min_a_dcf(targets, nontargets, spoofs, A_DCF1).value

    @cached_property
    def _speaker_line(self) -> LogisticCalibration | None:
        return LogisticCalibration.fit(self.target, self.nontarget) if len(self.target) else None

    def cost(self, metric: Metric = "eer") -> float:
        """What the best epoch has least of.

        Args:
            metric: ``eer``, the sum of the equal error rates; ``loss``, the sum of the losses; or one of the others.

        Raises:
            ValueError: the scores do not give that metric.
        """
        sums: dict[str, tuple[float | None, ...]] = {
            "eer": (self.speaker_eer, self.liveness_eer),
            "loss": (self.speaker_loss, self.liveness_loss),
        }
        parts = sums[metric] if metric in sums else (getattr(self, metric),)
        given = [part for part in parts if part is not None]
        if not given:
            raise ValueError(f"these scores give no {metric}")
        return sum(given)

    def summary(self) -> dict[str, float]:
        """What is recorded of an epoch; figures of one kind of attack, against all live recordings, behind a slash."""
        values = {
            "loss_speaker": self.speaker_loss,
            "loss_liveness": self.liveness_loss,
            "speaker_eer": self.speaker_eer,
            "liveness_eer": self.liveness_eer,
            "a_dcf": self.a_dcf,
            **{f"loss_liveness/{kind}": value for kind, value in self._by_kind(_cross_entropy).items()},
            **{f"liveness_eer/{kind}": value for kind, value in self._by_kind(_rate).items()},
        }
        return {name: value for name, value in values.items() if value is not None}

    def _by_kind(self, measure: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, float]:
        kinds = np.unique(self.attack_kinds).tolist() if len(self.live) else []
        return {kind: measure(self.live, self.attack[self.attack_kinds == kind]) for kind in kinds}


def _rate(live: np.ndarray, attack: np.ndarray) -> float:
    return eer(live, attack).rate


def _cross_entropy(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean of the cross-entropies of the two classes' log odds, nats."""
    return float(0.5 * np.logaddexp(0, -positive).mean() + 0.5 * np.logaddexp(0, negative).mean())
