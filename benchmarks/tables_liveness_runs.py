"""Tables of the trainings of the liveness benchmark: motion, heads, front ends, parts, hours and parameters."""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps

from tables import Result, percent, table

CONDITIONS = ("stand 10 cm", "stand 20 cm", "handheld 10 cm")
MOTION = {
    "measured": "measured (EMA)",
    "vocaltract": "VocalTractLab",
    "phonetic": "phonetic (the simulator's own)",
}
JUDGES = ("measured", "vocaltract")
NONE = "–"
Maker = Callable[[Result], str]


def needs(*keys: str) -> Callable[[Maker], Maker]:
    """Say in one sentence that a table's figures were not measured yet, where they were not."""

    def decorate(make: Maker) -> Maker:
        @wraps(make)
        def made(result: Result) -> str:
            return make(result) if all(result.get(key) for key in keys) else "Not measured yet."

        return made

    return decorate


def motion(source: str) -> str:
    """What a source of motion is called."""
    return MOTION.get(source, f"family `{source}`")


def interval(found: Result) -> str:
    """A rate with its interval."""
    if found["low"] is None:
        return percent(found["value"])
    return f"{percent(found['value'])} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


@needs("runs", "eer")
def liveness_matrix(result: Result) -> str:
    """What it was trained on against what it is tested on."""
    runs = [run for run in result["runs"] if run["group"] == "matrix"]
    return _by_condition(result, runs, lambda run: motion(run["trained_on"]), "Trained on")


def _by_condition(result: Result, runs: Sequence[Result], name: Callable[[Result], str], what: str) -> str:
    """One row a run, one column a source of motion, three conditions in a cell."""
    rates = {(r["run"], r["source"], r["condition"]): r["value"] for r in result["eer"] if r["seconds"] == 3}
    names = {run["name"] for run in runs}
    sources = list(dict.fromkeys(source for run, source, _ in rates if run in names))
    rows = [
        [name(run), *(_three(rates.get((run["name"], source, place)) for place in CONDITIONS) for source in sources)]
        for run in runs
    ]
    text = (
        f"Swapped mouths, 3 s, EER in %: 10 cm on a stand / 20 cm on a stand / 10 cm in the hand. Passes "
        f"over the training data: {result['short_epochs']}; of the detector of the first table: {result['epochs']}."
    )
    return f"{text}\n\n{table([what, *(motion(source) for source in sources)], rows)}{_left_out(result, runs)}"


def _three(rates: Iterable[float | None]) -> str:
    return " / ".join(NONE if rate is None else f"{100 * rate:.1f}" for rate in rates)


def _left_out(result: Result, runs: Sequence[Result]) -> str:
    groups = {run["group"] for run in runs}
    missing = [row for row in result.get("left out", []) if row.get("group") in groups]
    return "".join(f"\n\nNot run: {row['name']} ({row['why']})." for row in missing)


@needs("runs", "eer")
def liveness_detectors(result: Result) -> str:
    """Every head on the same data."""
    runs = [run for run in result["runs"] if run["group"] == "detectors"]

    def name(run: Result) -> str:
        cost = NONE if run["seconds"] is None else f"{run['seconds']:.0f} s"
        size = f"{run['head_parameters']:,} parameters" if run["head"] != "ridge" else "closed form"
        return f"`{run['head']}`, {size}, {cost}"

    six = {(r["run"], r["source"], r["condition"]): r["value"] for r in result["eer"] if r["seconds"] == 6}
    sources = list(dict.fromkeys(source for _, source, _ in six))
    rows = [
        [f"`{run['head']}`", *(_three(six.get((run["name"], s, place)) for place in CONDITIONS) for s in sources)]
        for run in runs
    ]
    longer = table(["Head, 6 s", *(motion(source) for source in sources)], rows) if sources else ""
    return f"{_by_condition(result, runs, name, 'Head, its size, its training')}\n\n{longer}".rstrip()


@needs("runs", "eer")
def liveness_front_ends(result: Result) -> str:
    """Every front end with the same head and data."""
    runs = [run for run in result["runs"] if run["group"] == "front ends"]
    return _by_condition(result, runs, lambda run: run["front_end"], "Front end")


@needs("runs", "eer")
def liveness_curve(result: Result) -> str:
    """More hours and more parameters."""
    runs = [run for run in result["runs"] if run["group"] == "curve"]

    def name(run: Result) -> str:
        return f"{run['speech_hours']:.2f} h of speech, {run['head_parameters']:,} parameters"

    return _by_condition(
        result, sorted(runs, key=lambda r: (r["speech_hours"], r["head_parameters"])), name, "Training"
    )


@needs("runs", "eer")
def liveness_ablation(result: Result) -> str:
    """The training without one of its parts, or with one more."""
    runs = [run for run in result["runs"] if run["group"] == "ablation"]
    return _by_condition(result, runs, lambda run: run["name"], "Training") if runs else "Not measured yet."
