"""The figures of one system in a comparison, each with its value in every resample of the speakers."""

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.measuring import (
    DCF_PRIORS,
    LIVE,
    NONTARGET,
    POOLED,
    SPOOF,
    TARGET,
    Figure,
    Resampled,
    equal_error_rate,
    figure,
    least_detection_cost,
)
from vivavoce.evaluation.metrics.spoofing import ADcfCosts, act_a_dcf_of
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.system import CLASSES, class_masks, class_scores, curve_figures, species_of
from vivavoce.evaluation.trials.table import Trials

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def figures_of(
    system: TrialScores, boot: Bootstrap, answered: Bools, judged: Bools, costs: ADcfCosts
) -> dict[str, Figure]:
    """Give the figures of a system by their names.

    Args:
        system: its scores.
        boot: draws of the trials' speakers, the same for all systems.
        answered: trials behind curves and costs, ``(trials,)``: those that all systems answer.
        judged: trials behind liveness, ``(trials,)``: those whose test recording gets a liveness score of all systems
            that give any.
        costs: priors and costs of the a-DCF.
    """
    found = _curves(system, boot, answered, costs)
    if system.liveness is not None:
        found += _liveness(system.trials, system.liveness, boot, judged)
    if system.threshold is not None:
        accepted = ~np.isnan(system.score) & (system.score >= system.threshold)
        found += _decisions(system.trials, accepted, boot, costs)
    return {one.measure.name: one for one in found}


def _curves(system: TrialScores, boot: Bootstrap, answered: Bools, costs: ADcfCosts) -> list[Figure]:
    """What holds at the best threshold, or at that of equal errors, of the score that decides."""
    classes = class_scores(system.trials, np.where(answered, system.score, np.nan))
    found = Resampled({name: classes[name] for name in CLASSES}, boot)
    figures = curve_figures(found, costs)
    if found.has(TARGET, NONTARGET):
        figures += [least_detection_cost(found, prior) for prior in DCF_PRIORS]
    return figures


def _liveness(trials: Trials, liveness: Floats, boot: Bootstrap, judged: Bools) -> list[Figure]:
    """Equal error rate of the liveness score over test recordings, each once though several trials may hold it."""
    used = np.flatnonzero(judged)
    once = used[np.unique(trials.test[used], return_index=True)[1]]
    _, speaker, _ = trials.speaker_codes()
    attack = trials.is_spoof[once]
    classes = {
        LIVE: ClassScores.of(liveness[once[~attack]], speaker[once[~attack]]),
        SPOOF: ClassScores.of(liveness[once[attack]], speaker[once[attack]]),
    }
    found = Resampled(classes, boot)
    return [equal_error_rate(found, "liveness_eer", "liveness EER", LIVE, SPOOF)] if found.has(LIVE, SPOOF) else []


def _decisions(trials: Trials, accepted: Bools, boot: Bootstrap, costs: ADcfCosts) -> list[Figure]:
    """What the threshold fixed beforehand comes to on all trials; no answer is no acceptance."""
    first, second, _ = trials.speaker_codes()
    masks = {name: mask for name, mask in class_masks(trials).items() if mask.any()}

    def mean(name: str, happened: Bools) -> tuple[float, Floats | None]:
        mask = masks[name]
        heard = ClassScores(np.zeros(int(mask.sum())), first[mask], second[mask])
        return float(happened[mask].mean()), boot.means(happened[mask], heard) if boot.possible else None

    def share(key: str, name: str, of: str, happened: Bools, species: str | None = None) -> Figure:
        value, drawn = mean(of, happened)
        counts, errors = {of: int(masks[of].sum())}, int(happened[masks[of]].sum())
        return Figure(figure(key, name, value, drawn, counts, errors=errors, species=species), drawn, at_threshold=True)

    figures = []
    if all(name in masks for name in CLASSES):
        figures.append(_act_a_dcf([mean(name, accepted) for name in CLASSES], masks, costs))
    if TARGET in masks:
        figures.append(share("frr", "false rejects, no answer included", TARGET, ~accepted))
    if NONTARGET in masks:
        figures.append(share("far", "false accepts", NONTARGET, accepted))
    species = species_of(trials)
    if species:
        figures.append(share("iapar", "IAPAR, all species", SPOOF, accepted, POOLED))
    if len(species) > 1:
        figures.append(_worst_iapar({name: mean(name, accepted) for name in species}, masks))
    return figures


def _act_a_dcf(accepted: list[tuple[float, Floats | None]], masks: dict[str, Bools], costs: ADcfCosts) -> Figure:
    (taken, of_users), (others, of_others), (attacks, of_attacks) = accepted
    drawn = None
    if of_users is not None and of_others is not None and of_attacks is not None:
        drawn = act_a_dcf_of(1 - of_users, of_others, of_attacks, costs)
    measure = figure(
        "act_a_dcf",
        f"act a-DCF({costs.label})",
        float(act_a_dcf_of(1 - taken, others, attacks, costs)),
        drawn,
        {name: int(masks[name].sum()) for name in CLASSES},
        unit="cost",
        parameters=costs.model_dump(),
    )
    return Figure(measure, drawn, at_threshold=True)


def _worst_iapar(shares: dict[str, tuple[float, Floats | None]], masks: dict[str, Bools]) -> Figure:
    worst = max(shares, key=lambda name: shares[name][0])
    resampled = [drawn for _, drawn in shares.values() if drawn is not None]
    drawn = np.max(resampled, axis=0) if resampled else None
    # Which species is the worst is chosen after the fact, so the trials of each decide whether there is a figure.
    counts = {name: int(masks[name].sum()) for name in shares}
    value = shares[worst][0]
    measure = figure("iapar_worst", "IAPAR, worst species", value, drawn, counts, species=worst)
    return Figure(measure, drawn, at_threshold=True)
