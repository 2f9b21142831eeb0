"""The tables of docs/benchmarks.md on recordings of a real phone."""

from tables import Result, answered, table


def ultrasense(result: Result) -> str:
    """What the front end says of each motion."""
    rows = [
        [
            row["motion"],
            str(row["recordings"]),
            f"{row['carrier_hz']:.2f} Hz",
            f"{row['carrier_dbfs']:.1f} dBFS",
            f"{row['noise_dbc_hz']:.1f} dBc/Hz",
            f"{row['moving_dbc']:.1f} dBc",
            f"{row['busiest_dbc']:.1f} dBc",
            " / ".join(f"{hz:.0f}" for hz in row["speed_hz"]) + " Hz",
            f"{row['approach_db']:+.1f} dB",
        ]
        for row in result["motions"]
    ]
    header = [
        *("Folder", "Recordings", "Carrier", "Its level", "Noise", "What moves", "In the busiest tenth"),
        *("Doppler shift, 5 / 50 / 95 % of the power", "Coming against going"),
    ]
    return table(header, rows)


def ultrasense_claims(result: Result) -> str:
    """What the folders say, and whether it comes out."""
    rows = [
        [
            row["claim"],
            str(row["recordings"]),
            _span(row["asked"]),
            _span(row["seen"]),
            row["unit"],
            answered(row["holds"]),
        ]
        for row in result["claims"]
    ]
    return table(["What should come out", "Figures", "Asked", "Seen", "Unit", "Holds"], rows)


def _span(bounds: list[float | None]) -> str:
    low, high = bounds
    if low is None or high is None:
        return f"≤ {high:g}" if high is not None else f"≥ {low:g}"
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
