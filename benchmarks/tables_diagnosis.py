"""Tables of the diagnosis: invented curves, and ten provoked runs."""

from collections.abc import Callable

from tables import Result, answered, percent, table


def diagnosis_curves(result: Result) -> str:
    """The confusion matrix of clear pairs, and the rates that were asked for."""
    clear, everything, asked, live = result["clear"], result["all"], result["asked"], result["live"]
    rates = [
        ["clear pairs told right", percent(clear["right"]), f"≥ {percent(asked['right'])}"],
        ["false alarms on clear healthy pairs", percent(clear["false alarms"]), f"≤ {percent(asked['false alarms'])}"],
        [
            "false alarms on all healthy pairs",
            percent(everything["false alarms"]),
            f"≤ {percent(asked['false alarms'])}",
        ],
        ["all pairs told right, however noisy", percent(everything["right"]), "–"],
        ['all pairs told wrong (the rest is "too early to say")', percent(everything["wrong"]), "–"],
        ["alarms an epoch in healthy runs that are asked at every epoch", percent(live["alarms an epoch"]), "–"],
        ["healthy runs with an alarm at any epoch", percent(live["runs with an alarm"]), "–"],
        ["healthy runs with an alarm that lasts until training would act", percent(live["runs acted on"]), "–"],
    ]
    reached = (
        answered(clear["right"] >= asked["right"]),
        answered(clear["false alarms"] <= asked["false alarms"]),
        answered(everything["false alarms"] <= asked["false alarms"]),
    )
    rates = [[*row, reached[place] if place < len(reached) else "–"] for place, row in enumerate(rates)]
    states = list(next(iter(clear["matrix"].values())))
    matrix = [
        [truth, *map(str, row.values()), percent(clear["right by state"][truth])]
        for truth, row in clear["matrix"].items()
    ]
    what = (
        f"{everything['curves']} pairs of curves, {clear['curves']} of them clear; {live['runs']} healthy runs of "
        f"{live['epochs']} epochs in all were asked at every epoch."
    )
    headers = ["What", "Share", "Asked", "Reached"], ["True state (clear pairs)", *states, "Right"]
    return f"{what}\n\n{table(headers[0], rates)}\n\n{table(headers[1], matrix)}"


def provoked_runs(result: Result) -> str:
    """Whether the cause of each provoked run was named."""
    rows = [
        [_words(run["name"]), run["how"], _words(run["cause"]), answered(run["right"]), f"{run['seconds']:.0f} s"]
        for run in result["runs"]
    ]
    right = sum(run["right"] for run in result["runs"])
    what = f"Causes named: {right} of {len(result['runs'])}. Seed {result['seed']}, {result['epochs']} epochs."
    return f"{what}\n\n{table(['Run', 'How', 'Cause named', 'Right', 'Training and diagnosis'], rows)}"


def provoked_verdicts(result: Result) -> str:
    """What the diagnosis says of each provoked run."""
    rows = []
    for run in result["runs"]:
        diagnosis = run["diagnosis"]
        states = {task["task"]: task["state"] for task in diagnosis["tasks"]}
        cause = diagnosis["causes"][0] if diagnosis["causes"] else None
        evidence = " ".join(cause["evidence"]) if cause else "–"
        advice = " ".join(f"`{change}`" for change in cause["advice"]["sets"]) if cause else ""
        advice = advice or (cause["advice"]["beside"] if cause else "–")
        says = cause["says"] if cause else "nothing wrong"
        both = (states.get("speaker", "–"), states.get("liveness", "–"))
        rows.append([f"{_words(run['name'])}: {run['how']}", *both, says, evidence, advice])
    return table(["Run", "Speaker", "Liveness", "Verdict", "Evidence", "Change"], rows)


def _words(name: str) -> str:
    return name.replace("_", " ")


DIAGNOSIS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "diagnosis_curves": ("diagnosis_curves.json", diagnosis_curves),
    "provoked_runs": ("provoked_runs.json", provoked_runs),
}
# Of docs/diagnosis.md.
VERDICTS: dict[str, tuple[str, Callable[[Result], str]]] = {
    "provoked_verdicts": ("provoked_runs.json", provoked_verdicts),
}
