"""How good the model is on the validation split: equal error rates, and the thresholds that go with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.calibrating import calibrate_liveness
from vivavoce.evaluation.calibration import Calibration, PartCalibration
from vivavoce.evaluation.metrics import eer
from vivavoce.evaluation.scoring import score_recordings, score_trials
from vivavoce.evaluation.trials import NONTARGET, TARGET, Trial, make_trials
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel
from vivavoce.training.config import Task

ENROL = 3


NO_SCORES = np.empty(0)


@dataclass(frozen=True)
class ValidationScores:
    """Scores of the validation split by class; those of a task that is not trained are empty."""

    target: np.ndarray
    nontarget: np.ndarray
    live: np.ndarray
    attack: np.ndarray

    @property
    def speaker_eer(self) -> float | None:
        """Equal error rate of speaker verification; None where it is not trained."""
        return eer(self.target, self.nontarget).rate if len(self.target) else None

    @property
    def liveness_eer(self) -> float | None:
        """Equal error rate of live recordings against all attacks together; None where it is not trained."""
        return eer(self.live, self.attack).rate if len(self.live) else None

    @property
    def cost(self) -> float:
        """What the best epoch has least of: the sum of the equal error rates."""
        return (self.speaker_eer or 0.0) + (self.liveness_eer or 0.0)

    @property
    def liveness_loss(self) -> float | None:
        """Cross-entropy of the liveness logits, the two classes weighted alike, nats; None where it is not trained."""
        if not len(self.live):
            return None
        return float(0.5 * np.logaddexp(0, -self.live).mean() + 0.5 * np.logaddexp(0, self.attack).mean())

    def summary(self) -> dict[str, float]:
        """What is recorded of an epoch."""
        values = {
            "loss_liveness": self.liveness_loss,
            "speaker_eer": self.speaker_eer,
            "liveness_eer": self.liveness_eer,
        }
        return {name: value for name, value in values.items() if value is not None}


class Validation:
    """The validation split with its trials, made once and scored after each epoch."""

    def __init__(
        self, rows: list[Row], store: FeatureStore, seed: int, tasks: Sequence[Task] = ("speaker", "liveness")
    ) -> None:
        self.rows = rows
        self.store = store
        self.tasks = tasks
        self.trials: list[Trial] = make_trials(rows, enrol=ENROL, seed=seed) if "speaker" in tasks else []
        labels = np.array([trial.label for trial in self.trials])
        self.is_target, self.is_nontarget = labels == TARGET, labels == NONTARGET
        self.is_live = np.array([row.meta.kind == "live" for row in rows])
        self.is_attack = np.array([row.meta.kind.is_spoof for row in rows])
        self._check()

    def score(self, model: JointModel, liveness_crop_s: float | None = None) -> ValidationScores:
        """Score the split with ``model``, liveness on the middle of recordings where ``liveness_crop_s`` is given."""
        scores = score_recordings(model, self.store, liveness_crop_s, tasks=self.tasks)
        target = nontarget = live = attack = NO_SCORES
        if "speaker" in self.tasks:
            cosine = score_trials(self.trials, self.rows, scores.embeddings).scores
            target, nontarget = cosine[self.is_target], cosine[self.is_nontarget]
        if "liveness" in self.tasks:
            answered = ~np.isnan(scores.liveness)
            live, attack = (scores.liveness[kind & answered] for kind in (self.is_live, self.is_attack))
        return ValidationScores(target, nontarget, live, attack)

    def calibrate(self, model: JointModel) -> Calibration:
        """Fit thresholds and likelihood ratios on recordings as they are verified: whole."""
        scores = self.score(model)
        speakers = [row.speaker for row in self.rows]
        heard = "liveness" in self.tasks
        return Calibration(
            speaker=PartCalibration.fit(scores.target, scores.nontarget) if "speaker" in self.tasks else None,
            liveness=calibrate_liveness(model, self.store, self.is_live, self.is_attack, speakers) if heard else None,
        )

    def _check(self) -> None:
        usable = self.store.usable
        counts = {
            "speaker": {"target trials": self.is_target.sum(), "non-target trials": self.is_nontarget.sum()},
            "liveness": {
                "live recordings with a usable probe": (self.is_live & usable).sum(),
                "attacks with a usable probe": (self.is_attack & usable).sum(),
            },
        }
        missing = [name for task in self.tasks for name, count in counts[task].items() if not count]
        if missing:
            raise UserError(
                f"The validation manifest gives no {' and no '.join(missing)}; thresholds come from it, so it needs "
                f"two or more speakers with more than {ENROL} live recordings each, and attacks."
            )
