"""The headline figures: the few numbers that stand for the evaluation, with their intervals."""

from dataclasses import dataclass

from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.conclusion import abstains_always
from vivavoce.evaluation.report.observed import accepted_attacks, accepted_others, refused_users
from vivavoce.evaluation.report.results import POOLED, EvaluationResult, percent
from vivavoce.evaluation.report.wording import (
    as_measure,
    bounds,
    figure_text,
    interval_text,
    name_parts,
    number,
)
from vivavoce.evaluation.trials.table import TARGET

# Measures of the whole system that have a card of their own, the first that was taken.
SYSTEM_KEYS = ("act_a_dcf", "min_a_dcf", "sasv_eer")


@dataclass(frozen=True)
class Card:
    """One headline figure: what it is, its value, its interval, and what it is over."""

    label: str
    figure: str
    interval: str
    detail: str


def headline(result: EvaluationResult) -> list[Card]:
    """Give the figures that a reader must see first."""
    cards = [] if abstains_always(result) else _decided(result)
    if result.speaker:
        eer = as_measure(result.speaker.eer, "eer", "EER", {})
        detail = f"the voice alone, {number(result.speaker.n_speakers)} speakers"
        cards.append(_card("Speaker EER", _first(result.speaker_measures, "eer") or eer, detail))
    if result.liveness_pooled:
        pooled = as_measure(result.liveness_pooled.eer, "eer", "EER", {})
        cards.append(_card("Liveness EER", _first(result.liveness_measures, "eer") or pooled, "all attacks pooled"))
    cost = next((m for key in SYSTEM_KEYS if (m := _first(result.system_measures, key))), None)
    return [*cards, _card(name_parts(cost.name)[0], cost, "the whole system")] if cost else cards


def _decided(result: EvaluationResult) -> list[Card]:
    cards = []
    row = next((row for row in result.verdicts if row.truth == TARGET and row.total), None)
    if row is not None:
        label = "User accepted" if result.speaker else "Live accepted"
        accepted, unanswered = row.counts.get("accept", 0), row.counts.get("abstain", 0)
        detail = f"{number(accepted)} of {number(row.total)}, {number(unanswered)} without an answer"
        turned = refused_users(result)
        interval = ""
        if turned is not None and turned.low is not None and turned.high is not None:
            interval = f"{percent(1 - turned.high).removesuffix(' %')}–{percent(1 - turned.low)}"
        share = row.share("accept") if turned is None or turned.value is None else 1 - turned.value
        cards.append(Card(label, percent(share), interval, detail))
    for label, rate in (("Others accepted", accepted_others(result)), ("Attacks accepted", accepted_attacks(result))):
        if rate is not None:
            cards.append(_card(label, rate, f"{number(rate.errors)} of {number(sum(rate.trials.values()))}"))
    return cards


def _card(label: str, measure: Measure, detail: str) -> Card:
    interval = bounds(measure) if measure.unit == "rate" and not measure.too_few else interval_text(measure).strip("()")
    if measure.unit == "rate" and interval and not measure.too_few:
        interval = f"{interval.removesuffix(' †')} %{' †' if interval.endswith(' †') else ''}"
    return Card(label, figure_text(measure), interval, detail)


def _first(measures: list[Measure], key: str) -> Measure | None:
    return next((m for m in measures if m.key == key and m.species in (None, POOLED)), None)
