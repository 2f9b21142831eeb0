"""How good the model is on the validation split: equal error rates, losses and detection cost, and the thresholds."""

from collections.abc import Sequence

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.fitting import calibrate_liveness
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.mapping import Scored, seen_scores
from vivavoce.evaluation.calibration.parts import Calibration, PartCalibration
from vivavoce.evaluation.calibration.seen import SeenScores
from vivavoce.evaluation.scoring.recordings import RecordingScores, score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import Trials, references
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel
from vivavoce.training.config import Metric, Task
from vivavoce.training.guard import Diverged
from vivavoce.training.validation_scores import TandemScores, ValidationScores

__all__ = ["Validation", "ValidationScores"]

ENROL = 3


class ValidationSplit:
    """The recordings of the validation split and its trials, sorted by class."""

    def __init__(self, rows: Sequence[Row], seed: int, tasks: Sequence[Task] = ("speaker", "liveness")) -> None:
        """Make the trials of ``rows``, if the speaker task is one of ``tasks``."""
        self.rows = list(rows)
        self.tasks = tasks
        self.trials = make_trials(self.rows, enrol=ENROL, seed=seed) if "speaker" in tasks else Trials.of([])
        self.is_target, self.is_nontarget = self.trials.is_target, self.trials.is_nontarget
        self.kinds = np.array([row.meta.kind.value for row in rows])
        self.is_live = self.kinds == "live"
        self.is_attack = np.array([row.meta.kind.is_spoof for row in rows])

    def check(self, usable: np.ndarray, best_by: Metric) -> None:
        """Refuse a split that cannot set thresholds or give a metric.

        Args:
            usable: of which recordings the probe is, ``(rows,)`` bool.
            best_by: the metric that the split must be able to give.

        Raises:
            UserError: the split lacks recordings of a class.
        """
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
        if best_by == "a_dcf" and not all(self._tandem_trials(usable)):
            raise UserError(
                "training.best_by is a_dcf, and of the validation manifest's target, non-target and spoof trials one "
                "class has no recording with a usable probe; add attacks that claim its speakers, or choose by eer."
            )

    def _tandem_trials(self, usable: np.ndarray) -> tuple[int, int, int]:
        """Target, non-target and spoof trials whose test recording gets a liveness score."""
        heard = set(np.array(references(self.rows))[usable].tolist())
        asked = np.array([trial.test in heard for trial in self.trials])
        spoof = ~self.is_target & ~self.is_nontarget
        return int((self.is_target & asked).sum()), int((self.is_nontarget & asked).sum()), int((spoof & asked).sum())


class Validation(ValidationSplit):
    """The validation split with its trials, made once and scored after each epoch."""

    def __init__(
        self,
        rows: Sequence[Row],
        store: FeatureStore,
        seed: int,
        tasks: Sequence[Task] = ("speaker", "liveness"),
        best_by: Metric = "eer",
    ) -> None:
        """Make the trials.

        Args:
            rows: recordings of the split.
            store: their features.
            seed: of the trials.
            tasks: what is trained.
            best_by: the metric that the split must be able to give.

        Raises:
            UserError: the split lacks recordings of a class.
        """
        super().__init__(rows, seed, tasks)
        self.store = store
        self.check(store.usable, best_by)

    def score(self, model: JointModel, liveness_crop_s: float | None = None) -> ValidationScores:
        """Score the split with ``model``, liveness on the middle of recordings where ``liveness_crop_s`` is given.

        Raises:
            Diverged: a score is no number.
        """
        scores = score_recordings(model, self.store, liveness_crop_s, tasks=self.tasks)
        self._refuse_no_numbers(scores)
        found = ValidationScores()
        if "liveness" in self.tasks:
            answered = ~np.isnan(scores.liveness)
            live, attack = self.is_live & answered, self.is_attack & answered
            found = ValidationScores(
                live=scores.liveness[live], attack=scores.liveness[attack], attack_kinds=self.kinds[attack]
            )
        if "speaker" not in self.tasks:
            return found
        trials = score_trials(self.trials, self.rows, scores.embeddings)
        heard = scores.liveness[trials.test_index]
        return ValidationScores(
            target=trials.scores[self.is_target],
            nontarget=trials.scores[self.is_nontarget],
            live=found.live,
            attack=found.attack,
            attack_kinds=found.attack_kinds,
            tandem=TandemScores.of(trials.scores, heard, self.is_target, self.is_nontarget),
        )

    def calibrate(self, model: JointModel) -> Calibration:
        """Fit thresholds and likelihood ratios on recordings as they are verified: whole."""
        scores = self.score(model)
        speaker = liveness = None
        if "speaker" in self.tasks:
            part = PartCalibration.fit(scores.target, scores.nontarget)
            enrolled, _, _ = self.trials.with_speakers(self.rows).speaker_codes()
            who = np.concatenate([enrolled[self.is_target], enrolled[self.is_nontarget]])
            speaker = part.model_copy(update={"seen": _ranges(scores.target, scores.nontarget, who)})
        if "liveness" in self.tasks:
            speakers = np.array([row.speaker for row in self.rows])
            part = calibrate_liveness(model, self.store, self.is_live, self.is_attack, speakers.tolist())
            answered = self.store.usable
            codes = np.unique(speakers, return_inverse=True)[1]
            who = np.concatenate([codes[self.is_live & answered], codes[self.is_attack & answered]])
            liveness = part.model_copy(update={"seen": _ranges(scores.live, scores.attack, who)})
        return Calibration(speaker=speaker, liveness=liveness)

    def _refuse_no_numbers(self, scores: RecordingScores) -> None:
        """Refuse scores that are not finite; where a probe is not usable, NaN is the right answer."""
        finite = {
            "speaker": np.isfinite(scores.embeddings).all(axis=1),
            "liveness": np.isfinite(scores.liveness) | ~self.store.usable,
        }
        for task in self.tasks:
            spoilt = np.flatnonzero(~finite[task])
            if len(spoilt):
                raise Diverged(
                    f"The {task} scores of {len(spoilt)} of {len(self.rows)} validation recordings are no finite "
                    f"numbers ({self.rows[spoilt[0]].id} is the first); lower training.learning_rate, or set "
                    "training.precision=float32."
                )


def _ranges(genuine: np.ndarray, others: np.ndarray, who: np.ndarray) -> dict[str, SeenScores]:
    """What drift will be told by: the ranges of both classes, whose speakers are ``who`` in this order."""
    is_target = np.arange(len(who)) < len(genuine)
    return seen_scores(Scored(np.concatenate([genuine, others]), is_target, Known(), who, who))
