"""The breakdowns of the report: every level of a factor with its figures, each with its interval drawn beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.results import Breakdown
from vivavoce.evaluation.report.strips import axis_end, strip
from vivavoce.evaluation.report.tables import NO_DRAWING, Cell, Row, Table, cell
from vivavoce.evaluation.report.wording import number

# The figures of a breakdown, in the order of their columns.
HEADS = {
    "speaker_eer": "Speaker EER",
    "liveness_eer": "Liveness EER",
    "false_rejects": "Users rejected",
    "false_accepts": "Others accepted",
    "attacks_accepted": "Attacks accepted",
    "abstained": "No answer",
}
WORDS = {"target": "user", "nontarget": "other", "spoof": "attack"}


@dataclass(frozen=True)
class FactorTable:
    """A factor and the table of its levels."""

    factor: str
    table: Table


def factor_tables(breakdowns: Sequence[Breakdown]) -> list[FactorTable]:
    """Give a table for each factor; the strips of one figure share one axis in all of them."""
    keys = [key for key in HEADS if any(getattr(row, key) for row in breakdowns)]
    ends = {key: axis_end(getattr(row, key) for row in breakdowns) for key in keys}
    tables = []
    for factor, group in groupby(breakdowns, key=lambda row: row.factor):
        rows = list(group)
        shown = [key for key in keys if any(getattr(row, key) for row in rows)]
        lines = [
            Row(Cell(row.level, note=_trials(row)), tuple(_with_strip(getattr(row, key), ends[key]) for key in shown))
            for row in rows
        ]
        table = Table(f"Figures by {factor}", ("Group", *(HEADS[key] for key in shown)), tuple(lines))
        tables.append(FactorTable(factor, table))
    return tables


def axis_note(breakdowns: Sequence[Breakdown]) -> str:
    """Say how far the axis of each figure's strips reaches."""
    keys = [key for key in HEADS if any(getattr(row, key) for row in breakdowns)]
    ends = (f"{HEADS[key]} {100 * axis_end(getattr(row, key) for row in breakdowns):g} %" for key in keys)
    return ", ".join(ends)


def _with_strip(measure: Measure | None, end: float) -> Cell:
    return cell(measure, strip(measure, end) if measure is not None else NO_DRAWING)


def _trials(row: Breakdown) -> str:
    counts = ", ".join(f"{number(count)} {WORDS.get(name, name)}" for name, count in row.trials.items() if count)
    text = f"{number(row.recordings)} recordings"
    return f"{text}; trials: {counts}" if counts else text
