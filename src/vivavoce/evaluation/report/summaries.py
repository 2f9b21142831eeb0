"""From arrays of scores and truths to the tables of an evaluation."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.intervals import bootstrap_interval, rate_interval
from vivavoce.evaluation.metrics.detection import C_FA, C_MISS, P_TARGET, eer, min_dcf
from vivavoce.evaluation.report.results import (
    POOLED,
    TRUTHS,
    VERDICTS,
    AbstentionRow,
    DataCount,
    Estimate,
    LivenessResult,
    MinDcf,
    Rate,
    Scores,
    SpeakerResult,
    VerdictRow,
)
from vivavoce.evaluation.trials.table import NONTARGET, TARGET
from vivavoce.signal.reasons import REASONS

# Half-way on a log scale between the distances at which the echo is published (5, 10, 20, 40 cm; DESIGN section 5).
DISTANCE_EDGES_CM = (7.0, 14.0, 28.0)
DISTANCE_BINS = ("up to 7 cm", "7–14 cm", "14–28 cm", "over 28 cm")
UNKNOWN = "unknown"


def distance_bins(distance_cm: Iterable[float | None]) -> NDArray[np.str_]:
    """Name the distance bin of each recording; None and NaN become ``unknown``."""
    cm = np.array([np.nan if value is None else value for value in distance_cm], dtype=float)
    named = np.array(DISTANCE_BINS)[np.searchsorted(DISTANCE_EDGES_CM, np.nan_to_num(cm), side="left")]
    return np.where(np.isnan(cm), UNKNOWN, named)


def summarise_data(kinds: ArrayLike, speakers: ArrayLike, durations_s: ArrayLike) -> list[DataCount]:
    """Count recordings, speakers and hours of each kind; each argument ``(recordings,)``."""
    kind, who, seconds = np.asarray(kinds, str), np.asarray(speakers, str), np.asarray(durations_s, float)
    return [
        DataCount(
            kind=name,
            recordings=int((kind == name).sum()),
            speakers=int(np.unique(who[kind == name]).size),
            hours=float(seconds[kind == name].sum() / 3600),
        )
        for name in _ordered(kind)
    ]


def summarise_speaker(
    scores: ArrayLike,
    labels: ArrayLike,
    speakers: ArrayLike,
    test_speakers: ArrayLike | None = None,
    threshold: float | None = None,
    *,
    p_target: float = P_TARGET,
    c_miss: float = C_MISS,
    c_fa: float = C_FA,
    seed: int = 0,
) -> SpeakerResult:
    """Summarise speaker verification; each array ``(trials,)``.

    Args:
        scores: speaker scores.
        labels: ``target``, ``nontarget``; trials with any other label (attacks) are left out.
        speakers: who is enrolled.
        test_speakers: who speaks in the test recording.
        threshold: the run's own, from its validation split.
        p_target: prior of the minimum detection cost.
        c_miss: cost of a miss.
        c_fa: cost of a false alarm.
        seed: of the bootstrap.

    Raises:
        UserError: target or non-target trials are missing, or a score is not finite.
    """
    score, label, who = np.asarray(scores, float), np.asarray(labels, str), np.asarray(speakers, str)
    genuine, impostor = label == TARGET, label == NONTARGET
    targets, nontargets = score[genuine], score[impostor]
    others = None if test_speakers is None else np.asarray(test_speakers, str)[impostor]
    rate, at = eer(targets, nontargets)
    interval = bootstrap_interval(targets, nontargets, who[genuine], who[impostor], others, seed=seed)
    cost = min_dcf(targets, nontargets, p_target, c_miss, c_fa)
    return SpeakerResult(
        n_target=targets.size,
        n_nontarget=nontargets.size,
        n_speakers=int(np.unique(who[genuine | impostor]).size),
        eer=Estimate.of(rate, interval),
        eer_threshold=at,
        min_dcf=MinDcf(
            value=cost.value, threshold=cost.threshold, p_target=cost.p_target, c_miss=cost.c_miss, c_fa=cost.c_fa
        ),
        threshold=threshold,
        miss=None if threshold is None else _rate(targets < threshold, who[genuine], None, seed),
        false_alarm=None if threshold is None else _rate(nontargets >= threshold, who[impostor], others, seed),
    )


def summarise_liveness(
    scores: ArrayLike,
    kinds: ArrayLike,
    speakers: ArrayLike,
    threshold: float | None = None,
    *,
    passes: ArrayLike | None = None,
    seed: int = 0,
) -> tuple[list[LivenessResult], LivenessResult | None]:
    """Summarise liveness of each attack species against all live recordings; each array ``(recordings,)``.

    Args:
        scores: liveness scores, NaN where the system abstained.
        kinds: what each recording is. Kinds whose probe cannot be read are left out: no answer is due there.
        speakers: who speaks.
        threshold: the run's own, from its validation split.
        passes: recordings that the system takes for live, ``(recordings,)`` bool, in all rates but the equal error
            rate; None: those whose score reaches the threshold.
        seed: of the bootstrap.

    Returns:
        A row a species, and one of all species pooled; species, or all, without a single score beside live ones are
        left out (no rows and None where liveness was never scored).
    """
    score, kind, who = _checked_liveness(scores, kinds, speakers)
    live = _passing(score, threshold, passes)
    species = [name for name in _ordered(kind) if Kind(name).is_spoof]
    rows = [_liveness(name, score, live, kind, who, threshold, seed) for name in species]
    return [row for row in rows if row], _liveness(POOLED, score, live, kind, who, threshold, seed)


def summarise_conditions(
    scores: ArrayLike,
    kinds: ArrayLike,
    speakers: ArrayLike,
    postures: Sequence[str | None],
    distance_cm: Sequence[float | None],
    threshold: float | None = None,
    *,
    passes: ArrayLike | None = None,
    seed: int = 0,
) -> list[LivenessResult]:
    """Summarise liveness within each posture and distance bin, for all species pooled and for each.

    Attacks meet only the live recordings of the same posture and bin. Arguments as in `summarise_liveness`, and for
    each recording its posture and its distance in cm (None: unknown).
    """
    score, kind, who = _checked_liveness(scores, kinds, speakers)
    live = _passing(score, threshold, passes)
    posture = np.array([UNKNOWN if value is None else str(value) for value in postures])
    distance = distance_bins(distance_cm)
    rows = []
    for name in np.unique(posture):
        for place in (*DISTANCE_BINS, UNKNOWN):
            here = (posture == name) & (distance == place)
            for species in (POOLED, *(item for item in _ordered(kind[here]) if Kind(item).is_spoof)):
                row = _liveness(species, score[here], live[here], kind[here], who[here], threshold, seed)
                if row:
                    rows.append(row.model_copy(update={"posture": str(name), "distance": place}))
    return rows


def summarise_abstentions(kinds: ArrayLike, reasons: ArrayLike) -> list[AbstentionRow]:
    """Count the recordings without a liveness answer by kind and reason, each argument ``(recordings,)``.

    Args:
        kinds: what each recording is.
        reasons: why it gets no answer, as `ProbeQuality.label` says it; empty where it gets one.
    """
    kind, reason = np.asarray(kinds, str), np.asarray(reasons, str)
    names = [*REASONS, *sorted(set(reason.tolist()) - {"", *REASONS})]
    rows = []
    for item in _ordered(kind):
        counts = {name: int(((kind == item) & (reason == name)).sum()) for name in names}
        found = {name: count for name, count in counts.items() if count}
        rows.append(AbstentionRow(kind=item, recordings=int((kind == item).sum()), reasons=found))
    return rows


def summarise_verdicts(truths: ArrayLike, verdicts: ArrayLike) -> list[VerdictRow]:
    """Count the verdicts of each truth (``target``, ``nontarget`` or a kind); each argument ``(recordings,)``.

    Raises:
        ValueError: a verdict or a truth that does not exist.
    """
    truth, verdict = np.asarray(truths, str), np.asarray(verdicts, str)
    strange = set(verdict.tolist()) - set(VERDICTS) or set(truth.tolist()) - set(TRUTHS)
    if strange:
        raise ValueError(f"unknown verdict or truth: {', '.join(sorted(strange))}")
    return [
        VerdictRow(truth=name, counts={item: int(((truth == name) & (verdict == item)).sum()) for item in VERDICTS})
        for name in TRUTHS
        if (truth == name).any()
    ]


def collect_scores(
    speaker_scores: ArrayLike = (), labels: ArrayLike = (), liveness_scores: ArrayLike = (), kinds: ArrayLike = ()
) -> Scores:
    """Gather the scores behind the figures from the arrays that the summaries take; abstentions (NaN) are left out."""
    score, label = np.asarray(speaker_scores, float), np.asarray(labels, str)
    live, kind = np.asarray(liveness_scores, float), np.asarray(kinds, str)
    answered = np.isfinite(live)
    shown = [name for name in _ordered(kind[answered]) if Kind(name).readable]
    return Scores(score[label == TARGET], score[label == NONTARGET], {n: live[answered & (kind == n)] for n in shown})


def _passing(score: NDArray[np.float64], threshold: float | None, passes: ArrayLike | None) -> NDArray[np.bool_]:
    """Which recordings count as live, ``(recordings,)``; none does without an answer, or without a threshold."""
    if passes is not None:
        return np.asarray(passes, bool)
    return np.zeros(score.shape, bool) if threshold is None else score >= threshold


def _liveness(
    species: str,
    score: NDArray[np.float64],
    passes: NDArray[np.bool_],
    kind: NDArray[np.str_],
    who: NDArray[np.str_],
    threshold: float | None,
    seed: int,
) -> LivenessResult | None:
    is_live = kind == Kind.LIVE.value
    names = [item for item in np.unique(kind) if Kind(item).is_spoof] if species == POOLED else [species]
    is_spoof = np.isin(kind, names)
    answered = ~np.isnan(score)
    live, spoof = is_live & answered, is_spoof & answered
    if not live.any() or not spoof.any():
        return None
    rate, _ = eer(score[live], score[spoof])
    return LivenessResult(
        species=species,
        n_live=int(live.sum()),
        n_spoof=int(spoof.sum()),
        live_abstained=int((is_live & ~answered).sum()),
        spoof_abstained=int((is_spoof & ~answered).sum()),
        eer=Estimate.of(rate, bootstrap_interval(score[live], score[spoof], who[live], who[spoof], seed=seed)),
        threshold=threshold,
        apcer=None if threshold is None else _rate(passes[spoof], who[spoof], None, seed),
        bpcer=None if threshold is None else _rate(~passes[live], who[live], None, seed),
        success=None if threshold is None else _rate(passes[is_spoof], who[is_spoof], None, seed),
    )


def _rate(wrong: NDArray[np.bool_], who: NDArray[np.str_], others: NDArray[np.str_] | None, seed: int) -> Rate:
    estimate = Estimate.of(float(wrong.mean()), rate_interval(wrong, who, others, seed=seed))
    return Rate(**estimate.model_dump(), errors=int(wrong.sum()), trials=wrong.size)


def _checked_liveness(scores: ArrayLike, kinds: ArrayLike, speakers: ArrayLike):
    score, kind, who = np.asarray(scores, float), np.asarray(kinds, str), np.asarray(speakers, str)
    if np.isinf(score).any():
        raise UserError(f"{int(np.isinf(score).sum())} liveness scores are infinite; leave those recordings out.")
    return score, kind, who


def _ordered(kinds: NDArray[np.str_]) -> list[str]:
    """Give the kinds that occur, in the order of `Kind`."""
    present = set(kinds.tolist())
    return [kind.value for kind in Kind if kind.value in present]
