"""The error rates of the whole system that were found, whether as measures or only as counted verdicts."""

from collections.abc import Iterable

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.measures import LEAST_TRIALS, Measure
from vivavoce.evaluation.metrics.exact import clopper_pearson
from vivavoce.evaluation.report.results import POOLED, EvaluationResult, VerdictRow
from vivavoce.evaluation.trials.table import NONTARGET, TARGET

# How the interval of a rate is found that is known from counted verdicts alone.
EXACT = "exact"
# A rate of accepted attacks has two names: the standard's (ISO/IEC 30107-3) and the plain one.
ATTACK_KEYS = ("attacks_accepted", "iapar")


def refused_users(result: EvaluationResult) -> Measure | None:
    """The rate of the user's trials that were not accepted, no answer included."""
    found = _measured(result, ("false_rejects",))
    return found or _counted("false_rejects", "users rejected", TARGET, _rows(result, [TARGET]), refused=True)


def accepted_others(result: EvaluationResult) -> Measure | None:
    """The rate of other people's trials that were accepted."""
    found = _measured(result, ("false_accepts",))
    return found or _counted("false_accepts", "other people accepted", NONTARGET, _rows(result, [NONTARGET]))


def accepted_attacks(result: EvaluationResult) -> Measure | None:
    """The rate of attacks of all species that were accepted."""
    found = _measured(result, ATTACK_KEYS)
    return found or _counted("attacks_accepted", "attacks accepted", "spoof", _rows(result, _attacks(result)), POOLED)


def answered_only(result: EvaluationResult, key: str) -> Measure | None:
    """The rate over trials that got an answer, as rates of a validation split are stated.

    None where all got one, so that it is the rate over all trials, or where no verdicts were counted.
    """
    classes = {"false_rejects": [TARGET], "false_accepts": [NONTARGET], "attacks_accepted": _attacks(result)}
    rows = _rows(result, classes.get(key, []))
    if not any(row.counts.get("abstain") for row in rows):
        return None
    counts = ({v: n for v, n in row.counts.items() if v != "abstain"} for row in rows)
    answered = [row.model_copy(update={"counts": found}) for row, found in zip(rows, counts, strict=True)]
    return _counted(key, key, "answered", answered, refused=key == "false_rejects")


def by_species(result: EvaluationResult) -> dict[str, Measure]:
    """The rate of accepted attacks of each species, in the order of `Kind`."""
    found = {}
    for kind in Kind:
        measure = _measured(result, ATTACK_KEYS, (kind.value,)) or _counted(
            "attacks_accepted", "attacks accepted", kind.value, _rows(result, [kind.value]), kind.value
        )
        if kind.is_spoof and measure:
            found[kind.value] = measure
    return found


def _measured(
    result: EvaluationResult, keys: tuple[str, ...], species: tuple[str | None, ...] = (None, POOLED)
) -> Measure | None:
    measures = (m for m in result.system_measures if m.key in keys and m.species in species and m.errors is not None)
    return next(measures, None)


def _attacks(result: EvaluationResult) -> list[str]:
    names = (row.truth for row in result.verdicts)
    return [name for name in names if name in set(Kind) and Kind(name).is_spoof]


def _rows(result: EvaluationResult, truths: Iterable[str]) -> list[VerdictRow]:
    wanted = set(truths)
    return [row for row in result.verdicts if row.truth in wanted]


def _counted(
    key: str, name: str, class_name: str, rows: list[VerdictRow], species: str | None = None, *, refused: bool = False
) -> Measure | None:
    """A rate of counted verdicts, with the exact interval, which takes trials for independent."""
    trials = sum(row.total for row in rows)
    if not trials:
        return None
    accepted = sum(row.counts.get("accept", 0) for row in rows)
    errors = trials - accepted if refused else accepted
    low, high = clopper_pearson(errors, trials)
    return Measure(
        key=key,
        name=name,
        unit="rate",
        value=errors / trials if trials >= LEAST_TRIALS else None,
        low=low,
        high=high,
        method=EXACT,
        species=species,
        trials={class_name: trials},
        errors=errors,
    )
