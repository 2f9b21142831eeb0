"""An evaluation: scores of a manifest's recordings and trials, turned into the figures of a report."""

import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vivavoce import __version__
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.breakdowns import Judged, break_down
from vivavoce.evaluation.calibration.drift import drift_notes
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.evaluation.cards import data_card
from vivavoce.evaluation.describing import decision_of, reliability_of
from vivavoce.evaluation.judging import Scored, judge, live_passes, score_rows, trial_scores
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.measuring import (
    DCF_PRIORS,
    LIVE,
    NONTARGET,
    TARGET,
    Resampled,
    detection_measures,
    ratio_measures,
)
from vivavoce.evaluation.metrics.detection import bayes_threshold
from vivavoce.evaluation.presentations import Presentations, attack_decisions, attack_measures
from vivavoce.evaluation.ranges import range_notes
from vivavoce.evaluation.report.results import EvaluationResult, Reliability
from vivavoce.evaluation.report.summaries import (
    collect_scores,
    summarise_abstentions,
    summarise_conditions,
    summarise_data,
    summarise_liveness,
    summarise_speaker,
    summarise_verdicts,
)
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.system import bootstrap_of, class_scores, system_measures
from vivavoce.evaluation.trials.table import Trials
from vivavoce.evaluation.verdict import Answer
from vivavoce.evaluation.worst import choose_worst
from vivavoce.features.store import FeatureStore
from vivavoce.models.joint import JointModel

Names = NDArray[np.str_]


def evaluate_rows(
    model: JointModel,
    calibration: Calibration,
    rows: Sequence[Row],
    store: FeatureStore,
    trials: Trials,
    *,
    run_id: str,
    data_name: str,
    command: str,
    liveness_crop_s: float | None = None,
    snr_db: ArrayLike | None = None,
    seed: int = 0,
) -> EvaluationResult:
    """Evaluate a model on recordings it was not trained on.

    Args:
        model: the trained model.
        calibration: thresholds from the validation split.
        rows: the recordings.
        store: their features, in the same order.
        trials: enrolments and tests among them; none where the run knows no speakers.
        run_id: name of the run in the report.
        data_name: name of the manifest in the report.
        command: the command that gives the same result again.
        liveness_crop_s: judge liveness on the middle of each recording, this many seconds; ``None``: on all of it.
        snr_db: of the voice in each recording, ``(recordings,)``; ``None``: not measured.
        seed: of the bootstrap.

    Raises:
        UserError: there are no target or no non-target trials.
    """
    began = time.monotonic()
    model.reset_out_of_range()
    scored = score_rows(model, calibration, rows, store, trials, liveness_crop_s)
    ended = time.monotonic()
    kinds = [row.meta.kind.value for row in rows]
    result = EvaluationResult(
        run_id=run_id,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        data_name=data_name,
        simulated=any((row.meta.model_extra or {}).get("simulated") for row in rows),
        enrolment=len(trials.enrolments[0]) if len(trials) else None,
        data=summarise_data(kinds, [row.speaker for row in rows], [row.duration_s for row in rows]),
        abstentions=summarise_abstentions(kinds, [quality.label for quality in scored.recordings.quality]),
        decision=decision_of(calibration),
        data_card=data_card(rows, trials),
        out_of_range=model.out_of_range,
        notes=[*range_notes(model.out_of_range), *_drift(calibration, scored, kinds)],
        versions=_versions(),
        **_liveness(calibration, rows, scored, kinds, seed),
        **_voices_and_verdicts(calibration, rows, scored, kinds, run_id, snr_db, seed),
    )
    timings = {"scoring": round(ended - began, 2), "tables": round(time.monotonic() - ended, 2)}
    return result.model_copy(update={"timings_s": timings})


def _liveness(
    calibration: Calibration, rows: Sequence[Row], scored: Scored, kinds: Sequence[str], seed: int
) -> dict[str, Any]:
    """All that is said of recordings alone."""
    if calibration.liveness is None:
        return {}
    speakers, threshold = [row.speaker for row in rows], calibration.needed("liveness")
    passes = live_passes(calibration, scored)
    species, pooled = summarise_liveness(scored.liveness, kinds, speakers, threshold, passes=passes, seed=seed)
    return {
        "liveness": species,
        "liveness_pooled": pooled,
        "conditions": summarise_conditions(
            scored.liveness,
            kinds,
            speakers,
            [row.meta.posture for row in rows],
            [row.meta.distance_cm for row in rows],
            threshold,
            passes=passes,
            seed=seed,
        ),
        "liveness_measures": _liveness_measures(calibration, scored, kinds, speakers, passes, seed),
    }


def _liveness_measures(
    calibration: Calibration,
    scored: Scored,
    kinds: Sequence[str],
    speakers: Sequence[str],
    passes: NDArray[np.bool_] | None,
    seed: int,
) -> list[Measure]:
    kind, (names, who) = np.array(kinds), np.unique(speakers, return_inverse=True)
    boot = Bootstrap(len(names), seed=seed)
    score, answered = scored.liveness, ~np.isnan(scored.liveness)
    found = [name.value for name in Kind if name.is_spoof and (kind == name.value).any()]
    classes = {
        name: ClassScores.of(score[mask], who[mask])
        for name in (LIVE, *found)
        if (mask := (kind == name) & answered).any()
    }
    measures = attack_measures(Resampled(classes, boot), found)
    if passes is None or not found:
        return measures
    parts = {
        name: Presentations(ClassScores.of(score[mask], who[mask]), answered[mask], passes[mask])
        for name in (LIVE, *found)
        for mask in [kind == name]
    }
    return [*measures, *attack_decisions(boot, parts.pop(LIVE), parts)]


def _voices_and_verdicts(
    calibration: Calibration,
    rows: Sequence[Row],
    scored: Scored,
    kinds: Sequence[str],
    run_id: str,
    snr_db: ArrayLike | None,
    seed: int,
) -> dict[str, Any]:
    """All that is said of trials, or of recordings where nobody is compared."""
    if calibration.speaker is None:
        nobody = np.full(len(rows), np.nan)
        verdicts = judge(calibration, nobody, scored.liveness, scored.known, scored.doubted)
        truths = [TARGET if kind == Kind.LIVE.value else kind for kind in kinds]
        return {
            "verdicts": summarise_verdicts(truths, verdicts),
            "scores": collect_scores(liveness_scores=scored.liveness, kinds=kinds),
        }
    trials = scored.trials
    _check(trials)
    scores = trial_scores(run_id, scored, calibration)
    verdicts = judge(
        calibration, scored.speaker, scored.liveness[scored.test], scored.known.take(scored.test),
        scored.doubted[scored.test],
    )  # fmt: skip
    accepted, abstained = verdicts == Answer.ACCEPT.value, verdicts == Answer.ABSTAIN.value
    boot = bootstrap_of(trials, seed)
    voice_threshold = calibration.needed("speaker")
    enrolled, spoken = _speakers(trials)
    collected = collect_scores(scored.speaker, trials.labels, scored.liveness, kinds)
    by_class = class_scores(trials, scores.score)
    return {
        "speaker": summarise_speaker(scored.speaker, trials.labels, enrolled, spoken, voice_threshold, seed=seed),
        "speaker_measures": _speaker_measures(calibration, scored, boot, voice_threshold),
        "system_measures": system_measures(scores, accepted, abstained, boot, voice_threshold),
        "verdicts": summarise_verdicts(trials.labels, verdicts),
        "breakdowns": break_down(_judged(rows, scored, scores, accepted, abstained), boot, snr_db),
        "reliability": _reliability(calibration, scored, boot),
        "worst": choose_worst(rows, scores, scored.test, verdicts),
        "scores": collected.with_system({name: part.scores for name, part in by_class.items() if name != "spoof"}),
    }


def _check(trials: Trials) -> None:
    missing = [
        name for name, mask in (("target", trials.is_target), ("non-target", trials.is_nontarget)) if not mask.any()
    ]
    if missing:
        raise UserError(
            f"There is no {' and no '.join(missing)} trial, so the speaker scores give no error rate; use a list of "
            "trials, or a manifest, that has both."
        )


def _speakers(trials: Trials) -> tuple[Names, Names]:
    """Who is enrolled and who speaks in each trial, ``(trials,)``."""
    assert trials.speakers is not None
    assert trials.test_speakers is not None
    return np.array(trials.speakers)[trials.enrolment], np.array(trials.test_speakers)[trials.test]


def _speaker_measures(
    calibration: Calibration, scored: Scored, boot: Bootstrap, threshold: float | None
) -> list[Measure]:
    def classes(values: NDArray[np.float64]) -> Mapping[str, ClassScores]:
        found = class_scores(scored.trials, values)
        return {name: found[name] for name in (TARGET, NONTARGET)}

    assert calibration.speaker is not None
    at = [] if threshold is None else [threshold]
    ratios = calibration.speaker.ratios(scored.speaker, scored.known.take(scored.test))
    priors = [bayes_threshold(prior) for prior in DCF_PRIORS]
    return [
        *detection_measures(Resampled(classes(scored.speaker), boot, at), threshold=threshold),
        *ratio_measures(Resampled(classes(ratios), boot, priors)),
    ]


def _reliability(calibration: Calibration, scored: Scored, boot: Bootstrap) -> list[Reliability]:
    assert calibration.speaker is not None
    known = scored.known.take(scored.test)
    voice = class_scores(scored.trials, calibration.speaker.ratios(scored.speaker, known))
    found = [reliability_of("speaker", boot, voice[TARGET], voice[NONTARGET])]
    if calibration.liveness is not None:
        heard = class_scores(scored.trials, calibration.liveness.ratios(scored.liveness[scored.test], known))
        found.append(reliability_of("liveness", boot, heard[TARGET], heard["spoof"]))
    return [one for one in found if one is not None]


def _judged(
    rows: Sequence[Row], scored: Scored, scores: TrialScores, accepted: NDArray[np.bool_], abstained: NDArray[np.bool_]
) -> Judged:
    _, tested, _ = scored.trials.speaker_codes()
    codes = dict(zip(_speakers(scored.trials)[1].tolist(), tested.tolist(), strict=True))
    speakers = np.array([codes.get(row.speaker, -1) for row in rows], dtype=np.intp)
    return Judged(rows, scores, scored.test, accepted, abstained, scored.liveness, speakers)


def _drift(calibration: Calibration, scored: Scored, kinds: Sequence[str]) -> list[str]:
    """Sentences where scores leave what the thresholds were set on."""
    speaker = scored.speaker if len(scored.trials) else None
    labels = scored.trials.labels if len(scored.trials) else None
    return drift_notes(calibration, speaker, scored.liveness, labels, kinds)


def _versions() -> dict[str, str]:
    import torch

    return {"vivavoce": __version__, "python": platform.python_version(), "torch": torch.__version__}
