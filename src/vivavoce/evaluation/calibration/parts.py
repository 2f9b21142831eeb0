"""From raw scores to log-likelihood ratios and thresholds, fitted on the validation split and stored with a run."""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logit

from vivavoce.evaluation.calibration.decision import Decision, Question
from vivavoce.evaluation.calibration.fusion import RuleFusion
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.logistic import Floats, LogisticCalibration, checked, fit_line
from vivavoce.evaluation.calibration.maps import NOTHING, Counted, RatioMaps
from vivavoce.evaluation.calibration.seen import SeenScores
from vivavoce.evaluation.metrics.detection import eer

# Steps of 0.05 over the growth of evidence with duration: a few validation speakers tell it no better.
GROWTH_STEPS = 21
# Where too few speakers are there to measure it: one speaker's recordings share face, voice, phone and room.
DEFAULT_CORRELATION = 0.5
# An intraclass correlation of fewer speakers than this has a standard error of its own size.
LEAST_SPEAKERS = 10


class PartCalibration(LogisticCalibration, Counted):
    """What one question (the speaker's, or the mouth's) learned on the validation split."""

    threshold: float = Field(
        allow_inf_nan=False, description="accept where score >= threshold: the EER point, or a rule's"
    )
    eer: float = Field(ge=0, le=1, description="equal error rate on the split it was fitted on")
    source: Literal["validation"] = "validation"
    maps: RatioMaps | None = Field(default=None, description="in place of the line; None: the line")
    seen: dict[str, SeenScores] = Field(default={}, description="scores of each class; none: of an earlier version")

    @classmethod
    def fit(cls, targets: ArrayLike, nontargets: ArrayLike, prior: float = 0.5) -> Self:
        """Fit the line, and take the threshold at the equal error rate.

        Raises:
            UserError: a class is missing or holds a score that is not finite.
        """
        genuine, others = checked("target", targets), checked("non-target", nontargets)
        scale, offset = fit_line(genuine, others, prior)
        rate, threshold = eer(genuine, others)
        return cls(
            scale=scale, offset=offset, threshold=threshold, eer=rate, n_target=genuine.size, n_nontarget=others.size
        )

    def accepts(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Tell which scores reach the threshold."""
        return np.asarray(scores, np.float64) >= self.threshold

    def ratios(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Log-likelihood ratios, nats, of the shape of ``scores``, for what is known of the recordings."""
        grown = self.grown(scores, known)
        return self.log_likelihood_ratio(grown) if self.maps is None else self.maps.ratios(grown, known)

    def evidence(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Log-likelihood ratios, nats, no surer than the validation split can vouch for."""
        if self.maps is not None:
            return self.maps.evidence(self.grown(scores, known), known)
        return self.bounded(self.ratios(scores, known))

    def margin(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """How far scores lie above the threshold of this question alone, nats by its line; at 0 it is reached."""
        return self.scale * self.grown(np.asarray(scores, np.float64) - self.threshold, known)

    def score_at(self, ratio: float, known: Known = NOTHING) -> Floats:
        """The lowest score whose ratio reaches so many nats, for what is known of a recording."""
        found = (ratio - self.offset) / self.scale if self.maps is None else self.maps.score_at(ratio, known)
        return np.asarray(found) / self.grown(1.0, known)

    def grown(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Scores as the line and the maps take them."""
        return np.asarray(scores, np.float64)


class LivenessCalibration(PartCalibration):
    """What the mouth's question learned: as `PartCalibration`, and how a longer recording makes it surer."""

    growth: float = Field(default=0.0, ge=0, le=1, description="the line's scale grows with seconds to this power")
    reference_s: float = Field(default=1.0, gt=0, description="duration at which the scale is `scale`, s")
    correlation: float = Field(
        default=DEFAULT_CORRELATION, ge=0, le=1, description="of the evidence of one speaker's recordings"
    )
    segment_threshold: float | None = Field(
        default=None, allow_inf_nan=False, description="frames below it do not belong; None: not sought"
    )

    def with_durations(
        self, live: ArrayLike, attack: ArrayLike, live_s: ArrayLike, attack_s: ArrayLike, prior: float = 0.5
    ) -> Self:
        """Fit the line anew to recordings and shorter crops of them, so that it knows what a second more is worth.

        The ratio is ``scale * (seconds / reference) ** growth * score + offset``. Evidence that adds up over frames
        grows with seconds to the power 1; a score that is a mean over frames leaves that to the scale. The power is
        held between 0 and 1: a crop cannot be surer than its whole, nor twice the time be more than twice as sure.
        Threshold, error rate and numbers of trials stay those of whole recordings.

        Args:
            live: scores of live recordings and crops, ``(live,)``.
            attack: those of attacks, ``(attacks,)``.
            live_s: how long each is, s.
            attack_s: how long each is, s.
            prior: the share of live ones to calibrate for, inside (0, 1).

        Raises:
            UserError: a class is missing or holds a score that is not finite.
        """
        genuine, others = checked("target", live), checked("non-target", attack)
        seconds = np.concatenate([np.asarray(live_s, np.float64), np.asarray(attack_s, np.float64)])
        reference = float(np.exp(np.log(seconds).mean()))
        scores, sizes = np.concatenate([genuine, others]), genuine.size

        def fitted(growth: float) -> tuple[float, float, float]:
            """Cross-entropy, scale and offset at one power."""
            grown = scores * (seconds / reference) ** growth
            scale, offset = fit_line(grown[:sizes], grown[sizes:], prior)
            odds = scale * grown + offset + logit(prior)
            true, false = np.logaddexp(0, -odds[:sizes]).mean(), np.logaddexp(0, odds[sizes:]).mean()
            return float(prior * true + (1 - prior) * false), scale, offset

        found = [(*fitted(power), power) for power in np.linspace(0, 1, GROWTH_STEPS).tolist()]
        _, scale, offset, growth = min(found)
        return self.model_copy(update={"scale": scale, "offset": offset, "growth": growth, "reference_s": reference})

    def evidence_of(self, scores: ArrayLike, seconds: ArrayLike) -> Floats:
        """Log-likelihood ratios, nats, of scores of recordings that are so many seconds long; bounded."""
        return self.evidence(scores, Known(seconds=seconds))

    def grown(self, scores: ArrayLike, known: Known = NOTHING) -> Floats:
        """Scores as the line and the maps take them: more, the longer the recording."""
        seconds = self.reference_s if known.seconds is None else known.seconds
        return np.asarray(scores, np.float64) * (np.asarray(seconds, np.float64) / self.reference_s) ** self.growth


class Calibration(BaseModel):
    """The thresholds and score lines of a run; None for a task that it was not trained on (`training.tasks`).

    Stored as JSON: ``calibration.model_dump(mode="json")`` and ``Calibration.model_validate(stored)``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    speaker: PartCalibration | None = None
    liveness: LivenessCalibration | None = None
    decision: Decision | None = Field(
        default=None, description="None: as training leaves a run, the liveness threshold first, then the speaker's"
    )

    @property
    def measures(self) -> frozenset[str]:
        """Names of the quality measures that the maps go by."""
        maps = [part.maps for part in (self.speaker, self.liveness) if part is not None and part.maps is not None]
        return frozenset(name for one in maps for name in one.measures)

    @property
    def threshold(self) -> float:
        """What `fused` must reach for a trial to be accepted, nats."""
        if self.decision is not None:
            return self.decision.threshold
        if self.liveness is not None or self.speaker is None:
            return 0.0
        return float(self.speaker.log_likelihood_ratio(self.speaker.threshold))

    def fused(
        self,
        speaker_scores: ArrayLike,
        liveness_scores: ArrayLike,
        seconds: ArrayLike | None = None,
        known: Known | None = None,
    ) -> Floats:
        """One score a trial, nats: accepted where it reaches `threshold`.

        Without a `decision` it is the lesser of what the two scores have above their thresholds. Of a run that knows
        no liveness it is the speaker's log-likelihood ratio.

        Args:
            speaker_scores: cosines, ``(trials,)``; not looked at where the run knows no speakers.
            liveness_scores: logits of the test recordings, ``(trials,)``; NaN is no answer, and gives none here.
            seconds: how long each test recording is, ``(trials,)``; None: as ``known`` says.
            known: what else is known of each test recording, ``(trials,)``.
        """
        about = known or Known()
        if seconds is not None:
            about = Known(seconds, about.conditions, about.measures)
        if self.decision is None and self.liveness is not None:
            mouth = self.liveness.margin(liveness_scores, about)
            return mouth if self.speaker is None else np.minimum(self.speaker.margin(speaker_scores, about), mouth)
        if self.liveness is None:
            if self.speaker is None:
                return np.full(np.shape(speaker_scores), np.nan)
            return self.speaker.ratios(speaker_scores, about)
        mouth = self.liveness.ratios(liveness_scores, about)
        if self.speaker is None or self.decision is None or self.decision.fusion is None:
            return mouth
        return self.decision.fusion.fuse(self.speaker.ratios(speaker_scores, about), mouth)

    def passed(
        self, speaker_scores: ArrayLike, liveness_scores: ArrayLike, known: Known = NOTHING
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each voice is the enrolled speaker's, and whether a living mouth says each recording's words.

        A question that the run does not know is answered yes of the voice and no of the mouth. Where both scores are
        judged as one and that is refused, the weaker of them is no; without a liveness answer the voice is judged by
        itself.

        Args:
            speaker_scores: cosines, of any shape; not looked at where the run knows no speakers.
            liveness_scores: logits of the same shape; NaN is no answer, and no.
            known: what else is known of each recording.
        """
        cosines, logits = np.asarray(speaker_scores, np.float64), np.asarray(liveness_scores, np.float64)
        everyone, nobody = np.ones(logits.shape, bool), np.zeros(logits.shape, bool)
        speaker, liveness, decision = self.speaker, self.liveness, self.decision
        alone = everyone if speaker is None else speaker.accepts(cosines)
        if decision is None:
            return alone, nobody if liveness is None else liveness.accepts(logits)
        voice = np.full(logits.shape, np.inf) if speaker is None else speaker.ratios(cosines, known)
        mouth = np.full(logits.shape, -np.inf) if liveness is None else liveness.ratios(logits, known)
        fusion = decision.fusion
        if fusion is None:
            return voice >= decision.threshold, mouth >= decision.threshold
        if isinstance(fusion, RuleFusion):
            return voice >= fusion.speaker, mouth >= fusion.liveness
        accepted = self.fused(cosines, logits, known=known) >= decision.threshold
        return np.where(np.isnan(logits), alone, accepted | (mouth <= voice)), accepted | (mouth > voice)

    def needed(self, question: Question, known: Known = NOTHING) -> float | None:
        """The score from which one question is answered yes, of a recording of which so much is known.

        None where the question is not asked, or no score of its own decides.
        """
        part, decision = self.speaker if question == "speaker" else self.liveness, self.decision
        if part is None or decision is None:
            return part.threshold if part else None
        if not (decision.fusion is None or isinstance(decision.fusion, RuleFusion)):
            return None
        ratio = decision.threshold if decision.fusion is None else getattr(decision.fusion, question)
        score = float(part.score_at(ratio, known))
        return score if np.isfinite(score) else None


def intraclass_correlation(values: ArrayLike, speakers: ArrayLike) -> float:
    """Correlation of the values of one speaker, by analysis of variance (Fisher 1925), between 0 and 1.

    Args:
        values: ``(values,)``, of one class.
        speakers: whose each is, ``(values,)``.

    Returns:
        The estimate, never less than 0; `DEFAULT_CORRELATION` at least where fewer than 10 speakers have two or more.
    """
    value, (names, group) = np.asarray(values, np.float64), np.unique(np.asarray(speakers), return_inverse=True)
    counts = np.bincount(group, minlength=len(names))
    kept = (counts > 1)[group]
    if not kept.any():
        return DEFAULT_CORRELATION
    value, (names, group) = value[kept], np.unique(group[kept], return_inverse=True)
    counts = np.bincount(group)
    means = np.bincount(group, value) / counts
    within = float(np.square(value - means[group]).sum() / max(1, value.size - len(names)))
    between = float((counts * np.square(means - value.mean())).sum() / max(1, len(names) - 1))
    size = (value.size - np.square(counts).sum() / value.size) / max(1, len(names) - 1)
    found = (between - within) / (between + (size - 1) * within) if between + within > 0 and len(names) > 1 else 0.0
    found = float(np.clip(found, 0, 1))
    return found if len(names) >= LEAST_SPEAKERS else max(found, DEFAULT_CORRELATION)
