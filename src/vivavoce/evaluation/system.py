"""Figures of a whole system: one decision on each trial, against other people and against attacks at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.measuring import (
    NONTARGET,
    POOLED,
    SPOOF,
    TARGET,
    Figure,
    Resampled,
    equal_error_rate,
    figure,
    share_measure,
)
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.rates import SpoofingRates
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5, ADcfCosts, act_a_dcf_of, min_a_dcf, min_a_dcf_of
from vivavoce.evaluation.metrics.tandem import SpeakerRates, min_t_dcf, min_t_dcf_of, speaker_rates, t_eer, t_eer_of
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.trials.table import LABELS, Trials

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CLASSES = (TARGET, NONTARGET, SPOOF)


def class_masks(trials: Trials) -> dict[str, Bools]:
    """Which trials are of each class, ``(trials,)``: targets, non-targets, attacks, and each species that occurs."""
    masks = {TARGET: trials.is_target, NONTARGET: trials.is_nontarget, SPOOF: trials.is_spoof}
    return masks | {name: trials.label == LABELS.index(name) for name in species_of(trials)}


def species_of(trials: Trials) -> list[str]:
    """The kinds of attack that trials hold and that must be rejected, in the order of `LABELS`."""
    return [LABELS[code] for code in np.unique(trials.label[trials.is_spoof]).tolist()]


def class_scores(trials: Trials, score: Floats) -> dict[str, ClassScores]:
    """The trials of each class that got a score, with the speakers with whom they are drawn."""
    first, second, _ = trials.speaker_codes()
    answered = ~np.isnan(score)
    kept = {name: mask & answered for name, mask in class_masks(trials).items()}
    return {name: ClassScores(score[mask], first[mask], second[mask]) for name, mask in kept.items()}


def bootstrap_of(trials: Trials, seed: int = 0) -> Bootstrap:
    """Draws of the speakers of a list of trials; the same for every system that is scored on it."""
    return Bootstrap(trials.speaker_codes()[2], seed=seed)


def curve_figures(found: Resampled, costs: ADcfCosts = ASVSPOOF5) -> list[Figure]:
    """What the score that decides can do at all thresholds: minimum a-DCF, SASV-EER, SPF-EER, SV-EER.

    Of each there is none where a class that it needs has no trial; see `metrics.spoofing`.
    """
    figures = []
    if found.has(*CLASSES):
        figures.append(_least_a_dcf(found, costs))
        figures.append(equal_error_rate(found, "sasv_eer", "SASV-EER", TARGET, NONTARGET, SPOOF))
    if found.has(TARGET, SPOOF):
        figures.append(equal_error_rate(found, "spf_eer", "SPF-EER", TARGET, SPOOF))
    if found.has(TARGET, NONTARGET):
        figures.append(equal_error_rate(found, "sv_eer", "SV-EER", TARGET, NONTARGET))
    return figures


def _least_a_dcf(found: Resampled, costs: ADcfCosts) -> Figure:
    least = min_a_dcf(found.scores(TARGET), found.scores(NONTARGET), found.scores(SPOOF), costs)
    rates = _rates(found)
    drawn = None if rates is None else min_a_dcf_of(*rates, costs)
    measure = figure(
        "min_a_dcf",
        least.label,
        least.value,
        drawn,
        found.counts(*CLASSES),
        unit="cost",
        threshold=least.threshold,
        parameters=costs.model_dump(),
    )
    return Figure(measure, drawn)


def tandem_measures(
    voice: Resampled, mouth: Resampled, threshold: float | None = None, costs: ADcfCosts = ASVSPOOF5
) -> list[Measure]:
    """Minimum t-DCF and t-EER of a speaker score and a liveness score that decide in turn.

    Args:
        voice: speaker scores of the trials by class; ``threshold`` is one of its thresholds.
        mouth: liveness scores of the same trials by class.
        threshold: of the speaker score; None: where it has its equal error rate.
        costs: priors and costs of the t-DCF.
    """
    if not (voice.has(*CLASSES) and mouth.has(*CLASSES)):
        return []
    targets, nontargets, spoofs = (voice.scores(name) for name in CLASSES)
    live, attacks = mouth.scores(TARGET, NONTARGET), mouth.scores(SPOOF)
    at = eer(targets, nontargets).threshold if threshold is None else threshold
    cost = min_t_dcf(live, attacks, speaker_rates(targets, nontargets, spoofs, at), costs)
    rate = t_eer(targets, nontargets, spoofs, live, attacks)
    drawn_cost = drawn_rate = None
    rates = _rates(voice)
    if rates is not None and voice.curves is not None and mouth.curves is not None:
        place = min(int(np.searchsorted(voice.curves.thresholds, at)), len(voice.curves.thresholds) - 1)
        heard = mouth.curves.p_miss(TARGET, NONTARGET), mouth.curves.p_fa(SPOOF)
        fixed = SpeakerRates(rates.p_miss[:, place], rates.p_fa_nontarget[:, place], rates.p_fa_spoof[:, place])
        drawn_cost = min_t_dcf_of(*heard, fixed, costs)
        drawn_rate = t_eer_of(*heard, rates)
    trials = mouth.counts(*CLASSES)
    parameters = costs.model_dump()
    return [
        figure("min_t_dcf", cost.label, cost.value, drawn_cost, trials, unit="cost", parameters=parameters),
        figure("t_eer", "t-EER", rate, drawn_rate, trials),
    ]


def decision_measures(
    boot: Bootstrap, trials: Trials, accepted: Bools, abstained: Bools, costs: ADcfCosts = ASVSPOOF5
) -> list[Measure]:
    """What the system's decisions on trials come to; no answer is no acceptance.

    Args:
        boot: draws of the trials' speakers.
        trials: the trials.
        accepted: the verdict on each is to accept, ``(trials,)``.
        abstained: there is no answer, ``(trials,)``.
        costs: priors and costs of the actual a-DCF.
    """
    first, second, _ = trials.speaker_codes()
    masks = {name: mask for name, mask in class_masks(trials).items() if mask.any()}
    heard = {name: ClassScores(np.zeros(int(mask.sum())), first[mask], second[mask]) for name, mask in masks.items()}

    def share(key: str, name: str, happened: Bools, of: str, species: str | None = None) -> Measure:
        return share_measure(boot, key, name, happened[masks[of]], heard[of], of, species)

    measures = []
    if TARGET in masks:
        measures.append(share("false_rejects", "false-reject rate, no answer included", ~accepted, TARGET))
    if NONTARGET in masks:
        measures.append(share("false_accepts", "false-accept rate", accepted, NONTARGET))
    kinds = [name for name in masks if name not in CLASSES]
    measures += [share("iapar", "IAPAR", accepted, name, name) for name in kinds]
    if kinds:
        measures.append(share("attacks_accepted", "attacks accepted, all species", accepted, SPOOF, POOLED))
        measures.append(_worst_iapar(boot, kinds, masks, heard, accepted))
    if all(name in masks for name in CLASSES):
        measures.append(_actual_a_dcf(boot, masks, heard, accepted, costs))
    return [
        *measures,
        *(share("abstention", f"no answer, {name} trials", abstained, name) for name in CLASSES if name in masks),
    ]


def system_measures(
    scores: TrialScores,
    accepted: Bools,
    abstained: Bools,
    boot: Bootstrap,
    speaker_threshold: float | None = None,
    costs: ADcfCosts = ASVSPOOF5,
) -> list[Measure]:
    """Every figure of a system on a list of trials.

    Args:
        scores: of the system.
        accepted: its verdict on each trial is to accept, ``(trials,)``.
        abstained: it gives no answer, ``(trials,)``.
        boot: draws of the trials' speakers.
        speaker_threshold: of the speaker score, for the t-DCF; None: at its equal error rate.
        costs: priors and costs of a-DCF and t-DCF.
    """
    found = Resampled(class_scores(scores.trials, scores.score), boot)
    measures = [one.measure for one in reversed(curve_figures(found, costs))]
    if scores.speaker is not None and scores.liveness is not None:
        asked = ~np.isnan(scores.liveness)
        voice_scores = np.where(asked, scores.speaker, np.nan)
        at = [] if speaker_threshold is None else [speaker_threshold]
        voice = Resampled(_three(class_scores(scores.trials, voice_scores)), boot, at)
        mouth = Resampled(_three(class_scores(scores.trials, scores.liveness)), boot)
        measures += tandem_measures(voice, mouth, speaker_threshold, costs)
    return [*measures, *decision_measures(boot, scores.trials, accepted, abstained, costs)]


def _three(classes: dict[str, ClassScores]) -> dict[str, ClassScores]:
    return {name: classes[name] for name in CLASSES}


def _rates(found: Resampled) -> SpoofingRates | None:
    if found.curves is None:
        return None
    return SpoofingRates(found.curves.p_miss(TARGET), found.curves.p_fa(NONTARGET), found.curves.p_fa(SPOOF))


def _worst_iapar(
    boot: Bootstrap, kinds: Sequence[str], masks: dict[str, Bools], heard: dict[str, ClassScores], accepted: Bools
) -> Measure:
    shares = [float(accepted[masks[name]].mean()) for name in kinds]
    worst = kinds[int(np.argmax(shares))]
    drawn = None
    if boot.possible:
        with np.errstate(invalid="ignore"):
            drawn = np.max([boot.means(accepted[masks[name]], heard[name]) for name in kinds], axis=0)
    counts = {worst: int(masks[worst].sum())}
    return figure("iapar_worst", f"IAPAR of the worst species, {worst}", max(shares), drawn, counts)


def _actual_a_dcf(
    boot: Bootstrap, masks: dict[str, Bools], heard: dict[str, ClassScores], accepted: Bools, costs: ADcfCosts
) -> Measure:
    wrong = {TARGET: ~accepted, NONTARGET: accepted, SPOOF: accepted}
    missed, others, attacks = (float(wrong[name][masks[name]].mean()) for name in CLASSES)
    drawn = None
    if boot.possible:
        p_miss, p_others, p_attacks = (boot.means(wrong[name][masks[name]], heard[name]) for name in CLASSES)
        drawn = act_a_dcf_of(p_miss, p_others, p_attacks, costs)
    return figure(
        "act_a_dcf",
        f"act a-DCF({costs.label})",
        float(act_a_dcf_of(missed, others, attacks, costs)),
        drawn,
        {name: int(masks[name].sum()) for name in CLASSES},
        unit="cost",
        parameters=costs.model_dump(),
    )
