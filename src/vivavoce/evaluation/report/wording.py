"""How the report writes numbers, intervals and the names of things."""

import math
import re
from datetime import datetime

from markupsafe import Markup, escape

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.results import POOLED, TRUTHS, Estimate, Rate, percent

RULE_OF_3 = "rule of 3"
VERDICT_WORDS = {
    "accept": "accept",
    "not_the_speaker": "not the speaker",
    "not_live": "not live",
    "abstain": "abstain",
}


def as_measure(rate: Estimate, key: str, name: str, trials: dict[str, int]) -> Measure:
    """Give a rate of the tables as a measure, so that both are written alike."""
    return Measure(
        key=key,
        name=name,
        unit="rate",
        value=rate.value,
        low=rate.low,
        high=rate.high,
        method=rate.method,
        trials=trials,
        errors=rate.errors if isinstance(rate, Rate) else None,
    )


def day(moment: str) -> str:
    """Write a moment in ISO 8601 for people, to the minute; any other text stays as it is."""
    try:
        return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return moment


def figure_text(measure: Measure) -> str:
    """Write the value in its unit; in words where there are too few trials for one."""
    return "too few trials" if measure.value is None else _in_unit(measure.value, measure)


def interval_text(measure: Measure) -> str:
    """Write the interval behind a value; † marks the rule of 3; empty where there is none."""
    if measure.low is None or measure.high is None:
        return ""
    if measure.value is None:
        return f"between {_in_unit(measure.low, measure)} and {_in_unit(measure.high, measure)}"
    if measure.unit == "rate":
        return f"({bounds(measure)})"
    return f"({number(measure.low)}–{number(measure.high)})"


def measure_text(measure: Measure | None) -> str:
    """Write a value and its interval in one; a dash where there is no measure."""
    if measure is None:
        return "–"
    interval = interval_text(measure)
    joint = ": " if measure.too_few and interval else " "
    return f"{figure_text(measure)}{joint}{interval}".rstrip()


def bounds(rate: Estimate | Measure) -> str:
    """Write the interval of a rate in per cent; empty where it has none; † marks the rule of 3."""
    if rate.low is None or rate.high is None:
        return ""
    mark = " †" if rate.method == RULE_OF_3 else ""
    return f"{percent(rate.low).removesuffix(' %')}–{percent(rate.high).removesuffix(' %')}{mark}"


def estimate(rate: Estimate | None) -> str:
    """Write a rate with its interval, or a dash."""
    if rate is None:
        return "–"
    return f"{percent(rate.value)} ({bounds(rate)})" if bounds(rate) else percent(rate.value)


def at_most(share: float) -> str:
    """Write an upper bound (0–1) in per cent, rounded up, so that it promises no more than was found."""
    return percent(_rounded(share, math.ceil))


def at_least(share: float) -> str:
    """Write a lower bound (0–1) in per cent, rounded down."""
    return percent(_rounded(share, math.floor))


def of_hundred(share: float) -> str:
    """Say how many of a hundred a share (0–1) is, without rounding to none or to all."""
    if share in (0, 1):
        return "all" if share else "none"
    if share < 0.005:
        return "fewer than 1"
    return "more than 99" if share > 0.995 else str(math.floor(100 * share + 0.5))


def number(value: float | None) -> str:
    """Write a count with thin gaps, a score with three decimals, nothing as a dash."""
    if value is None:
        return "–"
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else f"{value:.3f}".replace("-", "−")


def typeset(text: str) -> Markup:
    """Keep a range, and a number with its per cent sign, on one line, and set what is between backticks as code.

    Everything else is escaped.
    """
    kept = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text.replace(" %", "\u00a0%"))))
    return Markup(re.sub(r"\(?[\d.]+–[\d.]+(?:\u00a0[%†])?\)?", r'<span class="whole">\g<0></span>', kept))


def name_parts(name: str) -> tuple[str, str]:
    """Part a measure's name into what it is and its parameters: ``minDCF`` and ``p_target=0.01, c_miss=1``."""
    found = re.fullmatch(r"([^(]+)\((.*)\)", name, re.DOTALL)
    return (found[1].strip(), found[2].strip()) if found else (name, "")


def counted(count: int, noun: str) -> str:
    """Write a count with its noun, in the plural unless it is one."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def truth_words(name: str) -> str:
    """Say in words what a recording is: a kind, ``target``, ``nontarget``, or all attacks."""
    return {POOLED: "all attacks", Kind.LIVE.value: "live"}.get(name, TRUTHS.get(name, name))


def verdict_words(name: str) -> str:
    """Say a verdict in words."""
    return VERDICT_WORDS.get(name, name)


def _in_unit(value: float, measure: Measure) -> str:
    if measure.unit == "rate":
        return percent(value)
    return f"{number(float(value))} bits" if measure.unit == "bits" else number(float(value))


def _rounded(share: float, toward) -> float:
    """Round to two significant digits of the percentage, upward or downward."""
    if share <= 0 or share >= 1:
        return share
    scale = 10 ** (1 - math.floor(math.log10(share)))
    # 0.003 * 10⁴ is not 30 in floating point, but must stay so.
    return min(1.0, toward(round(share * scale, 6)) / scale)
