"""The page of a comparison: one HTML file that needs nothing else, neither network nor scripts."""

from collections.abc import Sequence
from pathlib import Path

from vivavoce.comparison.plots import pictures_of
from vivavoce.comparison.results import Comparison
from vivavoce.comparison.same_trials import on_same_trials
from vivavoce.comparison.wording import p_text, short_name, value_text
from vivavoce.evaluation.report.wording import RULE_OF_3, figure_text, interval_text, name_parts, number
from vivavoce.evaluation.scores import TrialScores
from vivavoce.files import write_text
from vivavoce.pages import page_environment

TEMPLATE = "comparison.html.j2"


def write_page(comparison: Comparison, systems: Sequence[TrialScores], path: Path) -> None:
    """Write the page, atomically.

    Args:
        comparison: what was found.
        systems: the scores compared.
        path: the HTML file.

    Raises:
        UserError: the file cannot be written.
    """
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "count": number,
        "figure": figure_text,
        "interval": interval_text,
        "name_parts": name_parts,
        "value": value_text,
        "p": p_text,
    }
    figures = comparison.figures
    text = environment.get_template(TEMPLATE).render(
        c=comparison,
        short={name: short_name(measure) for name, measure in figures.items()},
        has_liveness=any(measure.key == "liveness_eer" for measure in figures.values()),
        dagger=any(one.method == RULE_OF_3 for system in comparison.systems for one in system.measures.values()),
        pictures=pictures_of(comparison, on_same_trials(systems)),
    )
    write_text(path, text)
