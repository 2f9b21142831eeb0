"""What a curve says, in plain words: from which level on a figure is worse than chance allows."""

from collections.abc import Sequence

from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.results import percent
from vivavoce.stress.curves import UNCHANGED
from vivavoce.stress.results import SHOWN, CurveResult, Level

# With fewer answers than this the user meets an app that mostly asks to be spoken to again.
MOST_ABSTAINED = 0.5
# A cost that is shown as 1.000: no better than always giving the same answer.
BLIND = 0.9995
NONE, UNKNOWN = "at no level", "–"


def sentences(curve: CurveResult) -> list[str]:
    """Say where each figure of a curve breaks, a sentence or two each.

    A figure counts as worse where the 95 % interval of its difference from the first level, on the same speakers, lies
    above 0.
    """
    keys = [key for key in SHOWN if curve.has(key)]
    if curve.how == "grouped":
        if all(len(_known(curve.levels, key)) < 2 for key in keys):
            return ["Too few recordings in all groups but one to compare them."]
        said = [_of_groups(curve, key) for key in keys]
    else:
        said = [_of_figure(curve, key) for key in keys]
    return [*said, *_answers(curve)]


def breaking(curve: CurveResult, key: str) -> str:
    """The levels at which a figure is worse than at the first one, in a few words."""
    if curve.levels[0].figure(key) is None:
        return UNKNOWN
    worse = _worse(curve, key)
    if not worse and len(_known(curve.levels, key)) < len(curve.levels):
        return f"{NONE} with a figure"
    return _listed(curve, worse, key)


def silence(curve: CurveResult) -> str:
    """The levels at which most live recordings get no liveness answer, in a few words."""
    if not _known(curve.levels, "live_abstained"):
        return UNKNOWN
    return _listed(curve, _silent(curve), "live_abstained")


def shown(measure: Measure | None) -> str:
    """A figure for people; a dash where there is none."""
    if measure is None or measure.value is None:
        return UNKNOWN
    return percent(measure.value) if measure.unit == "rate" else f"{measure.value:.3f}"


def shown_bounds(measure: Measure | None) -> str:
    """The interval of a figure for people; empty where there is none."""
    if measure is None or measure.low is None or measure.high is None:
        return ""
    if measure.unit != "rate":
        return f"{measure.low:.2f}–{measure.high:.2f}"
    return f"{percent(measure.low).removesuffix(' %')}–{percent(measure.high)}"


def _of_figure(curve: CurveResult, key: str) -> str:
    first, others = curve.levels[0], curve.levels[1:]
    if first.figure(key) is None:
        return f"{SHOWN[key]}: too few recordings to say anything."
    worse, known = _worse(curve, key), _known(others, key)
    said = f"{SHOWN[key]}: {shown(first.measures[key])} {first.name if first.name == UNCHANGED else f'at {first.name}'}"
    if worse:
        where = f"from {worse[0].name} on " if len(worse) > 1 and _to_the_end(curve, worse, key) else ""
        said += f"; {where}worse beyond chance: {_with_values(worse, key)}"
    elif known:
        said += "; at no level worse beyond chance"
        highest = max(known, key=lambda level: level.figure(key) or 0.0)
        if (highest.figure(key) or 0.0) > (first.figure(key) or 0.0):
            said += f", highest at {_with_values([highest], key)}"
    said += "."
    silent = [level.name for level in others if level.figure(key) is None]
    if silent:
        said += f" Too few answers for a figure: {', '.join(silent)}."
    blind = [level.name for level in _known(curve.levels, key) if key == "a_dcf" and (level.figure(key) or 0) >= BLIND]
    if blind:
        said += f" No better than always giving the same answer: {', '.join(blind)}."
    return said


def _of_groups(curve: CurveResult, key: str) -> str:
    known = _known(curve.levels, key)
    if len(known) < 2:
        return f"{SHOWN[key]}: too few recordings in all groups but one to compare them."
    low, high = (pick(known, key=lambda level: level.figure(key) or 0.0) for pick in (min, max))
    if low.figure(key) == high.figure(key):
        return f"{SHOWN[key]}: {shown(low.measures[key])} in each of {', '.join(level.name for level in known)}."
    below, above = low.measures[key].high, high.measures[key].low
    apart = below is not None and above is not None and below < above
    verdict = "their intervals lie apart" if apart else "their intervals overlap"
    return f"{SHOWN[key]}: lowest {_with_values([low], key)}, highest {_with_values([high], key)}; {verdict}."


def _answers(curve: CurveResult) -> list[str]:
    known = _known(curve.levels, "live_abstained")
    if not known:
        return []
    silent = _silent(curve)
    if silent:
        return [f"Liveness answers: most live recordings get none at {_with_values(silent, 'live_abstained')}."]
    most = max(known, key=lambda level: level.figure("live_abstained") or 0.0)
    if not most.figure("live_abstained"):
        return ["Liveness answers: every live recording gets one at every level."]
    share = shown(most.measures["live_abstained"])
    return [f"Liveness answers: {share} of the live recordings at most get none ({most.name})."]


def _worse(curve: CurveResult, key: str) -> list[Level]:
    return [level for level in curve.levels[1:] if key in level.changes and level.changes[key].worse]


def _silent(curve: CurveResult) -> list[Level]:
    return [level for level in curve.levels if (level.figure("live_abstained") or 0.0) > MOST_ABSTAINED]


def _known(levels: Sequence[Level], key: str) -> list[Level]:
    return [level for level in levels if level.figure(key) is not None]


def _to_the_end(curve: CurveResult, chosen: Sequence[Level], key: str) -> bool:
    """Whether these are the last levels of a curve that has an order, as far as they have the figure."""
    return curve.words.worse is not None and _known(curve.levels, key)[-len(chosen) :] == list(chosen)


def _listed(curve: CurveResult, levels: Sequence[Level], key: str) -> str:
    if not levels:
        return NONE
    if _to_the_end(curve, levels, key):
        return levels[0].name if levels[0] is curve.levels[-1] else f"from {levels[0].name} on"
    return ", ".join(level.name for level in levels)


def _with_values(levels: Sequence[Level], key: str) -> str:
    return ", ".join(f"{level.name} ({shown(level.measures.get(key))})" for level in levels)
