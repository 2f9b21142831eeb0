"""Figures of presentation-attack detection: liveness of recordings, by species of attack.

The names are those of ISO/IEC 30107-3: an attack presentation is a recording of an attack, a bona fide presentation a
live one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.measuring import LIVE, POOLED, Resampled, figure, share_measure
from vivavoce.evaluation.metrics.attacks import APCER_LIMITS, bpcer_at_apcer, bpcer_at_apcer_of
from vivavoce.evaluation.metrics.detection import eer, eer_of

Bools = NDArray[np.bool_]


def attack_measures(found: Resampled, species: Sequence[str], genuine: str = LIVE) -> list[Measure]:
    """Presentation-attack detection over all thresholds: of each species, and of all, EER and BPCER@APCER.

    Args:
        found: live recordings and each species.
        species: in the order of the report.
        genuine: the class of live recordings.

    Source: the rates that ISO/IEC 30107-3 names.
    """
    heard = [name for name in species if found.has(genuine, name)]
    measures = []
    for name, members in [*((one, [one]) for one in heard), *([(POOLED, heard)] if len(heard) > 1 else [])]:
        live = found.scores(genuine)
        attacks = {one: found.classes[one].scores for one in members}
        trials = {genuine: len(live), name: sum(len(part) for part in attacks.values())}
        rates = found.rates(genuine, *members)
        worst = None if found.curves is None else np.max([found.curves.p_fa(one) for one in members], axis=0)
        rate, at = eer(live, found.scores(*members))
        measures.append(figure("eer", "EER", rate, rates and eer_of(*rates), trials, species=name, threshold=at))
        for limit in APCER_LIMITS:
            kept = bpcer_at_apcer(live, attacks, limit)
            drawn = None if rates is None or worst is None else bpcer_at_apcer_of(rates[0], worst, limit)
            parameters = {"apcer": limit}
            measures.append(
                figure(
                    "bpcer_at_apcer",
                    kept.label,
                    kept.value,
                    drawn,
                    trials,
                    species=name,
                    threshold=kept.threshold,
                    parameters=parameters,
                )
            )
    return measures


@dataclass(frozen=True)
class Presentations:
    """Recordings of one class: with whom each is drawn, whether it got an answer, and whether that was "live".

    Each array is ``(recordings,)``; ``trials`` holds the speakers, its scores do not matter.
    """

    trials: ClassScores
    answered: Bools
    passes: Bools


def attack_decisions(boot: Bootstrap, live: Presentations, attacks: Mapping[str, Presentations]) -> list[Measure]:
    """Presentation-attack detection at the system's threshold: APCER, BPCER, ACER and non-response rates.

    APCER, BPCER and ACER are over the recordings that got an answer; see `metrics.attacks`.

    Args:
        boot: draws of the speakers.
        live: live recordings.
        attacks: those of each species, in the order of the report; one or more.

    Source: the rates that ISO/IEC 30107-3 names.
    """
    heard = {name: part for name, part in attacks.items() if part.answered.any()}
    measures = [
        share_measure(boot, "apcer", "APCER", *_answers(part, part.passes), name, species=name)
        for name, part in heard.items()
    ]
    if live.answered.any():
        measures.append(share_measure(boot, "bpcer", "BPCER", *_answers(live, ~live.passes), LIVE))
    if heard and live.answered.any():
        measures += _worst_and_mean(boot, live, heard)
    nothing = [
        (LIVE, "bpnrr", "BPNRR", live, None),
        *((name, "apnrr", "APNRR", attacks[name], name) for name in attacks),
    ]
    return [
        *measures,
        *(
            share_measure(boot, key, words, ~part.answered, part.trials, of, species=kind)
            for of, key, words, part, kind in nothing
            if len(part.answered)
        ),
    ]


def _answers(part: Presentations, happened: Bools) -> tuple[Bools, ClassScores]:
    """What happened to the recordings that got an answer, and whose they are."""
    which, whose = part.answered, part.trials
    return happened[which], ClassScores(whose.scores[which], whose.first[which], whose.second[which])


def _worst_and_mean(boot: Bootstrap, live: Presentations, heard: Mapping[str, Presentations]) -> list[Measure]:
    """APCER of the worst species, and its mean with BPCER."""
    passed = {name: _answers(part, part.passes) for name, part in heard.items()}
    missed, of_live = _answers(live, ~live.passes)
    shares = {name: float(happened.mean()) for name, (happened, _) in passed.items()}
    worst = max(shares, key=lambda name: shares[name])
    drawn_worst = drawn_acer = None
    if boot.possible:
        drawn_worst = np.max([boot.means(happened, whose) for happened, whose in passed.values()], axis=0)
        drawn_acer = (drawn_worst + boot.means(missed, of_live)) / 2
    counts = {worst: len(passed[worst][0])}
    both = {**counts, LIVE: len(missed)}
    mean = (shares[worst] + float(missed.mean())) / 2
    return [
        figure("apcer_worst", f"APCER of the worst species, {worst}", shares[worst], drawn_worst, counts),
        figure("acer", "ACER (mean of the worst APCER and BPCER)", mean, drawn_acer, both),
    ]
