"""The tables of docs/benchmarks.md on shortcuts."""

from tables import Result, answered, percent, table

AREA = "area under the curve"


def shortcuts(result: Result) -> str:
    """What the detector does when evidence or shortcuts are taken away."""
    counted = ", ".join(f"{count} {name}" for name, count in result["recordings"].items())
    rows = [_row(row) for row in result["probes"]]
    header = [
        "Change",
        "Attacks",
        "EER untouched",
        "EER changed",
        "95 % interval",
        "Without an answer",
        "Asked",
        "Held",
    ]
    return f"`{result['model']}`; {counted}. Intervals are by resampling speakers.\n\n{table(header, rows)}"


def _row(row: Result) -> list[str]:
    after, area = row["changed"], AREA in row["probe"]
    shown = (lambda value: f"{value:.3f}") if area else percent
    interval = "–" if after["low"] is None else f"{shown(after['low'])} to {shown(after['high'])}"
    return [
        row["probe"],
        row["attacks"],
        percent(row["untouched"]["value"]) if "untouched" in row else "–",
        shown(after["value"]),
        interval,
        percent(1 - row["answered"]) if "answered" in row else "–",
        row["asked"],
        answered(row["held"]),
    ]


def shortcut_sidebands(result: Result) -> str:
    """In which recordings the microphone's own sidebands are found."""
    rows = []
    for row in result["sidebands"]:
        low, middle, high = (f"{value:.1f}" for value in row["level_db"])
        rows.append([row["recordings"], str(row["count"]), percent(row["found"]), f"{middle} ({low} to {high})"])
    return table(["Recordings", "Number", "Found", "Over the noise, dB: median (5 to 95 %)"], rows)
