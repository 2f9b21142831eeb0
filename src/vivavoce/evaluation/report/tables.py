"""The tables of the report, as rows of cells that one template writes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.observed import by_species
from vivavoce.evaluation.report.reliability import QUESTIONS
from vivavoce.evaluation.report.results import POOLED, Estimate, EvaluationResult, LivenessResult, Reliability
from vivavoce.evaluation.report.strips import axis_end, strip
from vivavoce.evaluation.report.wording import (
    as_measure,
    figure_text,
    interval_text,
    name_parts,
    number,
    truth_words,
)

# With more columns of figures than this there is no room to draw their intervals beside them.
DRAWN_COLUMNS = 2
# Operating points of one measure are read side by side; they have a table of their own, without drawings.
POINTS = "bpcer_at_apcer"


NO_DRAWING = Markup("")
# What the trials of a class are, beside their number.
CLASS_WORDS = {
    "target": "by the user",
    "nontarget": "by others",
    "spoof": "attacks",
    "attacks": "attacks",
    "live": "live",
    "readable": "recordings",
    POOLED: "attacks",
}


@dataclass(frozen=True)
class Column:
    """One measure of several species."""

    key: str
    head: str
    of: dict[str, Measure]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, an interval in softer ink beside it, a note below it, and perhaps a small drawing."""

    text: str
    interval: str = ""
    note: str = ""
    strip: Markup = NO_DRAWING


@dataclass(frozen=True)
class Row:
    """The name of a row and its cells."""

    name: Cell
    cells: tuple[Cell, ...]
    total: bool = False


@dataclass(frozen=True)
class Table:
    """A table: a caption for those who cannot see it, the heads of its columns, its rows, the axis of its drawings."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    axis: str = ""


def cell(measure: Measure | None, drawn: Markup = NO_DRAWING) -> Cell:
    """Write a measure into a cell; a dash where there is none."""
    if measure is None:
        return Cell("–")
    return Cell(figure_text(measure), interval_text(measure), strip=drawn)


def measure_table(caption: str, measures: Iterable[Measure]) -> Table:
    """A row a measure: its name with its parameters, its value and interval, and what it is over."""
    rows = []
    for measure in measures:
        name, parameters = name_parts(_in_words(measure.name))
        rows.append(Row(Cell(name, note=parameters), (cell(measure), Cell(_over(measure)))))
    return Table(caption, ("Measure", "Value (95 %)", "Over"), tuple(rows))


def speaker_measures(result: EvaluationResult) -> list[Measure]:
    """The measures of the voice alone; from the summary where none were taken."""
    speaker = result.speaker
    if result.speaker_measures or speaker is None:
        return result.speaker_measures
    trials = {"target": speaker.n_target, "nontarget": speaker.n_nontarget}
    eer = as_measure(speaker.eer, "eer", "EER", trials).model_copy(update={"threshold": speaker.eer_threshold})
    cost = speaker.min_dcf
    name = f"minDCF(p_target={cost.p_target:g}, c_miss={cost.c_miss:g}, c_fa={cost.c_fa:g})"
    found = [eer]
    for rate, key, words, truth in (
        (speaker.miss, "miss", "Users rejected", "target"),
        (speaker.false_alarm, "false_alarm", "Other people accepted", "nontarget"),
    ):
        if rate is not None:
            fixed = as_measure(rate, key, words, {truth: rate.trials})
            found.append(fixed.model_copy(update={"threshold": speaker.threshold}))
    low = Measure(key="min_dcf", name=name, unit="cost", value=cost.value, trials=trials, threshold=cost.threshold)
    return [*found, low]


def liveness_overall(result: EvaluationResult) -> list[Measure]:
    """The measures of liveness that belong to no single species; from the summary where none were taken."""
    if result.liveness_measures:
        return [m for m in result.liveness_measures if m.species in (None, POOLED)]
    pooled = result.liveness_pooled
    if pooled is None:
        return []
    trials = {"live": pooled.n_live, "attacks": pooled.n_spoof}
    found = [as_measure(pooled.eer, "eer", "EER, all attacks pooled", trials)]
    for rate, key, name, truth in (
        (pooled.apcer, "apcer", "APCER, all attacks pooled", "attacks"),
        (pooled.bpcer, "bpcer", "BPCER", "live"),
    ):
        if rate is not None:
            fixed = as_measure(rate, key, name, {truth: rate.trials})
            found.append(fixed.model_copy(update={"threshold": pooled.threshold}))
    return found


def species_tables(result: EvaluationResult) -> list[Table]:
    """A row a species, with all that was measured of it; operating points of one measure have a table of their own."""
    rows = {row.species: row for row in result.liveness}
    columns = _columns(result.liveness_measures) or _summarised(result.liveness)
    points = [column for column in columns if column.key.startswith(POINTS)]
    others = [column for column in columns if column not in points]
    pairs = [others[start : start + DRAWN_COLUMNS] for start in range(0, len(others), DRAWN_COLUMNS)]
    parts = [*pairs[:1], points, *pairs[1:]]
    caption = "Liveness of each kind of attack"
    return [_species_table(part, caption, {name: _counts(row) for name, row in rows.items()}) for part in parts if part]


def system_overall(result: EvaluationResult) -> list[Measure]:
    """The measures of the whole system over all trials."""
    return [m for m in result.system_measures if m.species in (None, POOLED)]


def system_species_table(result: EvaluationResult) -> Table | None:
    """How often each species was let in by the whole system; None where no attack was tried."""
    columns = _columns(result.system_measures)
    if not columns:
        found = by_species(result)
        columns = [Column("attacks_accepted", "Let in", found)] if found else []
    return _species_table(columns, "The whole system, by kind of attack", {}) if columns else None


def calibration_table(found: Sequence[Reliability]) -> Table:
    """What the probabilities of each question cost, and what they would cost at best."""
    rows = [
        Row(Cell(QUESTIONS.get(part.part, part.part), note=_trials(part.cllr)), (cell(part.cllr), cell(part.min_cllr)))
        for part in found
    ]
    return Table("Calibration", ("Question", "Cllr (95 %)", "minCllr (95 %)"), tuple(rows))


def condition_tables(rows: Sequence[LivenessResult]) -> list[tuple[str, Table]]:
    """A table for each posture and distance, under its name."""
    tables = []
    for place, group in groupby(rows, key=lambda row: (row.posture, row.distance)):
        title = f"Posture: {place[0]}, mouth to phone: {place[1]}"
        lines = []
        for row in group:
            cells = tuple(_rate_cell(rate) for rate in (row.eer, row.apcer, row.bpcer))
            lines.append(Row(Cell(truth_words(row.species), note=_counts(row)), cells, row.species == POOLED))
        tables.append((title, Table(title, ("Attack", "EER", "APCER", "BPCER"), tuple(lines))))
    return tables


def _in_words(name: str) -> str:
    """Say the species in words that a name ends in."""
    start, comma, last = name.rpartition(", ")
    return f"{start}: {truth_words(last)}" if comma and last in set(Kind) else name


def _columns(measures: Iterable[Measure]) -> list[Column]:
    """Gather the measures of single species by what they are."""
    found: dict[object, Column] = {}
    for measure in measures:
        if measure.species is not None and measure.species != POOLED:
            what = (measure.key, tuple(sorted(measure.parameters.items())))
            found.setdefault(what, Column(measure.key, measure.name, {})).of[measure.species] = measure
    return list(found.values())


def _summarised(rows: Sequence[LivenessResult]) -> list[Column]:
    columns = []
    for head, key in (("EER", "eer"), ("APCER", "apcer"), ("BPCER", "bpcer")):
        rates = {row.species: getattr(row, key) for row in rows}
        found = {name: as_measure(rate, key, head, {}) for name, rate in rates.items() if rate is not None}
        if found:
            columns.append(Column(key, head, found))
    return columns


def _species_table(columns: Sequence[Column], caption: str, notes: Mapping[str, str]) -> Table:
    """A row a species; where few columns leave the room, intervals are drawn beside the figures."""
    end = axis_end(measure for column in columns for measure in column.of.values())
    drawn = len(columns) <= DRAWN_COLUMNS
    rows = []
    for name in (kind.value for kind in Kind if any(kind.value in column.of for column in columns)):
        measures = [column.of.get(name) for column in columns]
        first = next(measure for measure in measures if measure is not None)
        note = notes.get(name) or _trials(first)
        cells = (cell(measure, strip(measure, end) if measure and drawn else NO_DRAWING) for measure in measures)
        rows.append(Row(Cell(truth_words(name), note=note), tuple(cells)))
    heads = ("Attack", *(column.head for column in columns))
    return Table(caption, heads, tuple(rows), f"0 to {100 * end:g} %" if drawn else "")


def _trials(measure: Measure) -> str:
    counts = ", ".join(
        f"{number(count)} {CLASS_WORDS.get(name, '')}".rstrip() for name, count in measure.trials.items()
    )
    return counts if measure.errors is None else f"{number(measure.errors)} of {counts}"


def _counts(row: LivenessResult) -> str:
    text = f"{number(row.n_spoof)} with an answer"
    return f"{text}, {number(row.spoof_abstained)} without" if row.spoof_abstained else text


def _rate_cell(rate: Estimate | None) -> Cell:
    return cell(None if rate is None else as_measure(rate, "", "", {}))


def _over(measure: Measure) -> str:
    """Say over which trials a measure is taken, and at which score."""
    counts = [f"{number(count)} {CLASS_WORDS.get(name, truth_words(name))}" for name, count in measure.trials.items()]
    text = ", ".join(counts)
    if measure.errors is not None:
        text = f"{number(measure.errors)} of {text}"
    return text if measure.threshold is None else f"{text}, at score {number(float(measure.threshold))}".lstrip(", ")
