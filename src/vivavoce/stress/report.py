"""The page of a stress test: one HTML file that needs nothing else, neither network nor scripts."""

import re
from pathlib import Path

import yaml

from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5
from vivavoce.evaluation.report.results import TRUTHS, percent
from vivavoce.files import write_text
from vivavoce.pages import page_environment
from vivavoce.stress.plots import picture_of
from vivavoce.stress.results import MISSING, SHOWN, CurveResult, StressResult
from vivavoce.stress.words import NONE, breaking, shown, shown_bounds, silence

TEMPLATE = "stress.html.j2"


def write_report(result: StressResult, path: Path) -> None:
    """Write the page, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    write_text(path, render_report(result))


def render_report(result: StressResult) -> str:
    """Give the page as HTML text; everything from the recordings is escaped."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "figure": shown,
        "breaking": breaking,
        "silence": silence,
        "unbroken": _unbroken,
        "bounds": shown_bounds,
        "percent": percent,
        "truth": lambda name: TRUTHS.get(name, name),
        "count": lambda number: f"{number:,}".replace(",", " "),
    }
    compared = [curve for curve in result.curves if curve.how != "grouped"]
    return environment.get_template(TEMPLATE).render(
        r=result,
        compared=compared,
        overview=[key for key in SHOWN if any(curve.has(key) for curve in compared)],
        answers=any(curve.has("live_abstained") for curve in compared),
        none_worse=NONE,
        missing=MISSING,
        curves=[(curve, picture_of(curve), _species(curve)) for curve in result.curves],
        figures=SHOWN,
        costs=ASVSPOOF5.label,
        config=yaml.safe_dump(result.model_dump(mode="json")["config"], sort_keys=False, allow_unicode=True),
    )


def _unbroken(text: str) -> str:
    """Keep numbers and their units on one line."""
    return re.sub(r"(?<=\d) (?=%|dB|kHz|Hz|s\b|cm\b|mm\b)", "\u00a0", text)


def _species(curve: CurveResult) -> list[str]:
    """The kinds of attack that have an error rate of their own at any level."""
    keys = dict.fromkeys(key for level in curve.levels for key in level.measures if key.startswith("liveness_eer/"))
    return [key.partition("/")[2] for key in keys]
