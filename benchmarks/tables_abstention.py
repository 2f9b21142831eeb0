"""The tables of docs/benchmarks.md on recordings that get no liveness answer."""

from tables import Result, percent, table


def abstention_reasons(result: Result) -> str:
    """Why recordings of each kind get no answer."""
    reasons = sorted({name for row in result["reasons"] for name in row["shares"]} - {"answered"})
    columns = ["answered", *reasons]
    rows = [
        [
            *(f"`{row['kind']}`", str(row["recordings"])),
            *(percent(row["shares"][name]) if name in row["shares"] else "–" for name in columns),
        ]
        for row in result["reasons"]
    ]
    return table(["Kind", "Recordings", "Answered", *reasons], rows)


def abstention_sway(result: Result) -> str:
    """How many are told to hold still, at the limit in use and at others."""
    limits = list(result["sway"][0]["turned_away"])
    rows = [
        [row["sway"], str(row["recordings"]), *(percent(row["turned_away"][limit]) for limit in limits)]
        for row in result["sway"]
    ]
    used = f"{result['limit_mm']:g}"
    header = [f"**> {limit} mm (in use)**" if limit == used else f"> {limit} mm" for limit in limits]
    return table(["The phone's true sway, RMS", "Recordings", *header], rows)
