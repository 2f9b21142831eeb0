"""How good the model is on the validation split: two equal error rates, and the thresholds that go with them."""

from dataclasses import dataclass

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration import Calibration, PartCalibration
from vivavoce.evaluation.metrics import eer
from vivavoce.evaluation.scoring import RecordingScores, score_recordings, score_trials
from vivavoce.evaluation.trials import NONTARGET, TARGET, Trial, make_trials
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel

ENROL = 3


@dataclass(frozen=True)
class ValidationScores:
    """Scores of the validation split by class."""

    target: np.ndarray
    nontarget: np.ndarray
    live: np.ndarray
    attack: np.ndarray

    @property
    def speaker_eer(self) -> float:
        """Equal error rate of speaker verification."""
        return eer(self.target, self.nontarget).rate

    @property
    def liveness_eer(self) -> float:
        """Equal error rate of live recordings against all attacks together."""
        return eer(self.live, self.attack).rate

    @property
    def liveness_loss(self) -> float:
        """Cross-entropy of the liveness logits, the two classes weighted alike, nats."""
        return float(0.5 * np.logaddexp(0, -self.live).mean() + 0.5 * np.logaddexp(0, self.attack).mean())

    def summary(self) -> dict[str, float]:
        """What is recorded of an epoch."""
        return {
            "loss_liveness": self.liveness_loss,
            "speaker_eer": self.speaker_eer,
            "liveness_eer": self.liveness_eer,
        }

    def calibrate(self) -> Calibration:
        """Fit thresholds and likelihood ratios."""
        return Calibration(
            speaker=PartCalibration.fit(self.target, self.nontarget),
            liveness=PartCalibration.fit(self.live, self.attack),
        )


class Validation:
    """The validation split with its trials, made once and scored after each epoch."""

    def __init__(self, rows: list[Row], store: FeatureStore, seed: int) -> None:
        self.rows = rows
        self.store = store
        self.trials: list[Trial] = make_trials(rows, enrol=ENROL, seed=seed)
        labels = np.array([trial.label for trial in self.trials])
        self.is_target, self.is_nontarget = labels == TARGET, labels == NONTARGET
        self.is_live = np.array([row.meta.kind == "live" for row in rows])
        self.is_attack = np.array([row.meta.kind.is_spoof for row in rows])
        self._check()

    def score(self, model: JointModel) -> ValidationScores:
        """Score the split with ``model``."""
        scores: RecordingScores = score_recordings(model, self.store)
        cosine = score_trials(self.trials, self.rows, scores.embeddings).scores
        answered = ~np.isnan(scores.liveness)
        return ValidationScores(
            cosine[self.is_target],
            cosine[self.is_nontarget],
            scores.liveness[self.is_live & answered],
            scores.liveness[self.is_attack & answered],
        )

    def _check(self) -> None:
        counts = {
            "target trials": self.is_target.sum(),
            "non-target trials": self.is_nontarget.sum(),
            "live recordings": self.is_live.sum(),
            "attacks": self.is_attack.sum(),
        }
        missing = [name for name, count in counts.items() if not count]
        if missing:
            raise UserError(
                f"The validation manifest gives no {' and no '.join(missing)}; thresholds come from it, so it needs "
                f"two or more speakers with more than {ENROL} live recordings each, and attacks."
            )
