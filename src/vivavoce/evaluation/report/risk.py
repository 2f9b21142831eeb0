"""Whether the risk that was stated when the thresholds were set held on these recordings."""

from dataclasses import dataclass
from typing import Literal

from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.observed import accepted_attacks, accepted_others, answered_only, refused_users
from vivavoce.evaluation.report.results import EvaluationResult, percent
from vivavoce.evaluation.report.wording import at_least, at_most, counted, measure_text, number

Status = Literal["kept", "broken", "open"]

FINDERS = {"false_accepts": accepted_others, "false_rejects": refused_users, "attacks_accepted": accepted_attacks}
# The false-accept rate asked for when the threshold was set, among a decision's parameters. It holds for other people
# and for attacks, each for themselves.
ASKED = "far"
LIMITED = {
    "false_accepts": ("Other people accepted", "The stated false-accept rate of {rate}"),
    "attacks_accepted": ("Attacks accepted", "The stated rate of accepted attacks, {rate},"),
}


@dataclass(frozen=True)
class Risk:
    """A stated rate beside the one found."""

    key: str
    subject: str
    stated: str
    found: str
    sentence: str
    status: Status


def judge_risks(result: EvaluationResult) -> list[Risk]:
    """Compare each rate that the decision states with what was found; none where nothing was stated or tried."""
    if result.decision is None:
        return []
    asked = result.decision.parameters.get(ASKED)
    tried = {key: found for key in LIMITED if (found := FINDERS[key](result)) is not None}
    risks = [] if asked is None else [_asked(asked, key, found) for key, found in tried.items()]
    for stated in result.decision.stated:
        found = answered_only(result, stated.key) or _found(result, stated)
        if found is not None and stated.high is not None:
            risks.append(_stated(stated, found))
    return risks


def _asked(rate: float, key: str, found: Measure) -> Risk:
    """A rate that must not be passed: kept or broken only where the whole interval says so."""
    trials = sum(found.trials.values())
    count = f"{number(found.errors)} of {number(trials)}"
    subject, words = LIMITED[key]
    name = words.format(rate=percent(rate))
    low, high = found.low or 0.0, 1.0 if found.high is None else found.high
    if high <= rate:
        status, sentence = "kept", f"{name} was kept: {count}, at most {at_most(high)}."
    elif low > rate:
        status, sentence = "broken", f"{name} was not kept: {count}, at least {at_least(low)}."
    else:
        status = "open"
        way = "kept here" if (found.errors or 0) <= rate * trials else "passed here"
        sentence = (
            f"{name} was {way}: {count}. {counted(trials, 'trial')} cannot settle it: between {at_least(low)} and "
            f"{at_most(high)} would fit."
        )
    return Risk(key, subject, f"at most {percent(rate)}", measure_text(found), sentence, status)


def _stated(stated: Measure, found: Measure) -> Risk:
    """A rate foretold from the validation split: broken where the whole interval found lies above the one stated."""
    low, high = found.low or 0.0, 1.0 if found.high is None else found.high
    subject = stated.name[0].upper() + stated.name[1:]
    then, now = measure_text(stated), measure_text(found)
    broken = low > (stated.high or 0.0)
    ending = "It held here"
    if broken or high < (stated.low or 0.0):
        ending = f"{'More' if broken else 'Fewer'} were found here"
    sentence = f"Stated on the validation split: {then}. {ending}: {now}."
    return Risk(stated.key, subject, then, now, sentence, "broken" if broken else "kept")


def _found(result: EvaluationResult, stated: Measure) -> Measure | None:
    if stated.key in FINDERS:
        return FINDERS[stated.key](result)
    measures = [*result.system_measures, *result.liveness_measures, *result.speaker_measures]
    return next((m for m in measures if (m.key, m.species) == (stated.key, stated.species)), None)
