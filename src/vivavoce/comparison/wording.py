"""What a comparison says, in plain words; every sentence is computed from its figures."""

from vivavoce.comparison.results import Comparison, Difference
from vivavoce.evaluation.measures import Measure, Unit
from vivavoce.evaluation.report.conclusion import FEW_SPEAKERS
from vivavoce.evaluation.report.wording import counted, measure_text, name_parts, number, truth_words

# Of several systems, the one with the lowest figure is called the best: of these the first that there is.
LEADING = ("act_a_dcf", "min_a_dcf", "sasv_eer", "spf_eer", "sv_eer")

# Resampling fewer understates how much chance does (Cameron, Gelbach & Miller, "Bootstrap-based improvements for
# inference with clustered errors", Review of Economics and Statistics 90(3), 2008).
LEAST_SPEAKERS = 10


def short_name(measure: Measure) -> str:
    """Name a figure without its parameters, but for the prior that tells two of one kind apart."""
    plain = name_parts(measure.name)[0].split(",")[0] if measure.key == "frr" else name_parts(measure.name)[0]
    return f"{plain} at {measure.parameters['p_target']:g}" if measure.key == "min_dcf" else plain


def amount(value: float, unit: Unit) -> str:
    """Write the size of a difference: of rates in percentage points, of costs as it is; without its sign."""
    size = 100 * abs(value) if unit == "rate" else abs(value)
    places, least = (2, 0.1) if unit == "rate" else (3, 0.01)
    return "0" if size == 0 else f"{size:.{places}f}" if size >= least else f"{size:.2g}"


def signed(value: float, unit: Unit) -> str:
    """Write a difference with its sign."""
    text = amount(value, unit)
    return text if text == "0" else f"{'−' if value < 0 else '+'}{text}"


def between(difference: Difference) -> str:
    """Write the interval of a difference; empty where there is none."""
    if difference.low is None or difference.high is None:
        return ""
    low, high = (signed(bound, difference.unit) for bound in (difference.low, difference.high))
    return f"{low} to {high}"


def value_text(difference: Difference) -> str:
    """Write a difference; a dash where there are too few trials for one."""
    return "–" if difference.value is None else signed(difference.value, difference.unit)


def p_text(p_value: float | None) -> str:
    """Write a p-value; a dash where there is none."""
    if p_value is None:
        return "–"
    return f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.1g}"


def verdict_of(difference: Difference, obstacle: str | None, pairs: int, same_scores: bool) -> str:
    """Say whether a difference is real.

    Args:
        difference: without its verdict.
        obstacle: why there can be no verdict; None: there can be one.
        pairs: pairs of systems whose p-values of this figure were corrected together.
        same_scores: the two systems give the same scores and decide alike.
    """
    unit = " points" if difference.unit == "rate" else ""
    inside = f"95 % of the resamples lie between {_and(difference)}{unit}" if between(difference) else ""
    if difference.status == "same":
        return "the same scores" if same_scores else "the same figure, on every draw of speakers"
    if difference.status == "no verdict":
        return f"no verdict, {obstacle}{': ' if inside else ''}{inside}"
    if difference.status == "better" and difference.value is not None:
        sizes = sorted(abs(bound) for bound in (difference.low, difference.high) if bound is not None)
        bounds = "–".join(amount(size, difference.unit) for size in sizes)
        return f"{difference.better} is better (by {amount(difference.value, difference.unit)}{unit}, {bounds})"
    text = f"no difference shown: {'no draw of speakers has one' if difference.low == difference.high == 0 else inside}"
    if difference.p_value is not None and difference.p_holm is not None and difference.p_value <= 0.05:
        text += f", which is not enough among {pairs} pairs (p = {p_text(difference.p_holm)} after Holm's correction)"
    if difference.detectable is not None:
        text += f"; one below about {_about(difference.detectable, difference.unit)}{unit} could not have shown"
    return text


def headline(comparison: Comparison) -> str:
    """Say in a sentence what the comparison comes to."""
    names = [system.name for system in comparison.systems]
    if all(one.status == "same" for one in comparison.differences):
        return f"{_listed(names)} {'both ' if len(names) == 2 else 'all '}come to the same figures."
    if all(one.status in ("no verdict", "same") for one in comparison.differences):
        return f"These trials are too few to tell {_listed(names)} apart."
    return _of_two(comparison) if len(names) == 2 else _of_several(comparison)


def _of_two(comparison: Comparison) -> str:
    first, second = (system.name for system in comparison.systems)
    judged = [one for one in comparison.differences if one.status != "no verdict"]
    wins = {name: sum(one.better == name for one in judged) for name in (first, second)}
    rest = len(judged) - sum(wins.values())
    figures = counted(len(judged), "figure")
    if not any(wins.values()):
        return f"No difference between {first} and {second} is shown in any of {figures}."
    winner = max(wins, key=lambda name: wins[name])
    if not rest and wins[winner] == len(judged):
        return f"{winner} is better in {'all ' if len(judged) > 1 else ''}{figures}."
    if all(wins.values()):
        said = f"{first} is better in {counted(wins[first], 'figure')}, {second} in {number(wins[second])}"
    else:
        said = f"{winner} is better in {number(wins[winner])} of {figures}"
    return f"{said}; in {'the others' if rest > 1 else 'the other'} no difference is shown." if rest else f"{said}."


def _of_several(comparison: Comparison) -> str:
    names = [system.name for system in comparison.systems]
    measures = [
        [system.measures[name] for system in comparison.systems]
        for name in comparison.figures
        if all(name in system.measures and not system.measures[name].too_few for system in comparison.systems)
    ]
    leading = min(
        (of for of in measures if of[0].key in LEADING), key=lambda of: LEADING.index(of[0].key), default=None
    )
    if leading is None:
        return f"{_listed(names)} have no joint cost or equal error rate to be ranked by."
    measure, best = min(zip(leading, names, strict=True), key=lambda one: one[0].value or 0.0)
    rivals = [one for one in comparison.differences if one.figure == measure.name and best in (one.first, one.second)]
    beaten = [_other(one, best) for one in rivals if one.better == best]
    level = [_other(one, best) for one in rivals if one.better != best]
    parts = [f"is better than {_listed(beaten)}"] if beaten else []
    parts += [f"is not shown to differ from {_listed(level)}"] if level else []
    return f"{best} has the lowest {short_name(measure)}, {measure_text(measure)}; it {' and '.join(parts)}."


def _other(difference: Difference, name: str) -> str:
    return difference.second if difference.first == name else difference.first


def notes_of(comparison: Comparison, knows_speakers: bool) -> list[str]:
    """Say what a reader should know of how the systems were compared.

    Args:
        comparison: what was found.
        knows_speakers: the trials say who is enrolled and who speaks.
    """
    notes = [_unanswered(system.name, system.unanswered) for system in comparison.systems]
    notes = [note for note in notes if note]
    if notes:
        left = ", ".join(f"{number(count)} {name}" for name, count in comparison.compared.items() if count)
        notes.append(
            f"Curves and costs are compared on the trials that all systems answer ({left}); at a threshold, no answer "
            "is a rejection."
        )
    if not knows_speakers:
        notes.append(
            "The trials do not say who speaks, so each enrolment counts as a speaker of its own; where several are of "
            "one person, the intervals are too narrow: add the columns speaker and test_speaker, or give the "
            "recordings' manifest (--on)."
        )
    if LEAST_SPEAKERS <= comparison.speakers < FEW_SPEAKERS:
        notes.append(
            f"With {comparison.speakers} speakers intervals are rather too narrow, and equal systems are called "
            "different somewhat more often than 5 times in 100; take a verdict near p = 0.05 for a hint."
        )
    thresholds = [system.threshold is not None for system in comparison.systems]
    if any(thresholds) and not all(thresholds):
        lacking = _listed([system.name for system in comparison.systems if system.threshold is None])
        notes.append(f"The threshold of {lacking} is not known, so its decisions are not compared.")
    return notes


def _unanswered(name: str, counts: dict[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return ""
    parts = ", ".join(f"{number(count)} of {truth_words(label)}" for label, count in counts.items() if count)
    return f"{name} gives no answer on {counted(total, 'trial')} ({parts})."


def _about(size: float, unit: Unit) -> str:
    return f"{100 * size if unit == 'rate' else size:.2g}"


def _and(difference: Difference) -> str:
    return between(difference).replace(" to ", " and ")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
