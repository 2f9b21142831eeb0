"""The report of a tuning: one HTML file that needs nothing else, neither network nor scripts."""

from pathlib import Path
from typing import Any

from vivavoce.files import write_text
from vivavoce.pages import page_environment
from vivavoce.tuning.metric import shown, shown_difference
from vivavoce.tuning.plots import pictures
from vivavoce.tuning.results import TuningResult

TEMPLATE = "tuning.html.j2"


def write_report(result: TuningResult, path: Path, best_config: str, logarithmic: set[str]) -> None:
    """Write the report, atomically.

    Args:
        result: what the tuning found.
        path: the HTML file.
        best_config: the best trial's configuration as YAML; empty: no trial ended well.
        logarithmic: keys whose logarithm was searched.

    Raises:
        UserError: the file cannot be written.
    """
    environment = page_environment(Path(__file__).parent)
    environment.filters["value"] = lambda value: "–" if value is None else shown(value, result.metric)
    environment.filters["difference"] = lambda value: shown_difference(value, result.metric)
    environment.filters["param"] = _param
    text = environment.get_template(TEMPLATE).render(
        r=result,
        best=result.best,
        keys=list(dict.fromkeys(key for trial in result.trials for key in trial.params)),
        ranked=sorted(result.trials, key=lambda trial: (trial.state != "complete", trial.value or 0.0, trial.number)),
        pictures=pictures(result, logarithmic),
        config=best_config,
    )
    write_text(path, text)


def _param(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
