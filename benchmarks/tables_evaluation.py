"""Tables of the evaluation: metrics beside references, speed, and a whole evaluation beside other encoders."""

from collections.abc import Callable

from tables import LINE, Result, answered, power, table

# What a table of a whole evaluation shows, with the words of its column.
FIGURES = {
    "sv_eer": "SV-EER, %",
    "spf_eer": "SPF-EER, %",
    "sasv_eer": "SASV-EER, %",
    "min_a_dcf": "min a-DCF",
    "t_eer": "t-EER, %",
    "act_a_dcf": "act a-DCF",
    "attacks_accepted": "Attacks accepted, %",
    "false_accepts": "Others accepted, %",
    "false_rejects": "Users rejected, %",
}


def metric_agreement(result: Result) -> str:
    """Our metrics beside public references, the worst of all score sets."""
    worst: dict[tuple[str, str], Result] = {}
    for row in result["rows"]:
        key = (row["reference"], row["metric"])
        if key not in worst or row["difference"] > worst[key]["difference"]:
            worst[key] = row
    rows = [
        [
            row["reference"],
            row["metric"],
            _small(row["difference"]),
            "–" if row["answer"] == "reached" else _small(row["unexplained"]),
            row["answer"],
        ]
        for row in worst.values()
    ]
    header = ["Reference", "Metric", "Largest difference", "By their rule, on our points", f"≤ {result['asked']:g}"]
    return table(header, rows)


def _small(value: float) -> str:
    return "0" if value == 0 else power(value)


def trial_lists(result: Result) -> str:
    """Seconds to make, write and read a million trials."""
    rows = [[part, f"{seconds:.1f}"] for part, seconds in result["seconds"].items()]
    both = result["seconds"]["make, all three ways"] + result["seconds"]["write csv"]
    asked = f"{both:.1f} (asked: {result['asked_s']:g}, {answered(both <= result['asked_s'])})"
    rows.append(["**make, all three ways, and write**", asked])
    return LINE.join(
        [
            f"{result['trials']:,} trials among {result['recordings']:,} recordings.".replace(",", " "),
            "",
            table(["Part", "Seconds"], rows),
        ]
    )


def trial_scoring(result: Result) -> str:
    """Trials a second, ours and one at a time."""
    rows = []
    for row in result["rows"]:
        ratio, difference = row.get("ours is times"), row["largest difference"]
        rows.append(
            [
                row["system"],
                str(row["dimensions"]),
                f"{row['trials/s'] / 1e6:.3g} million",
                "–" if ratio is None else f"{ratio:.3g} ×",
                "–" if difference is None else power(difference),
            ]
        )
    header = ["System", "Dimensions", "Trials a second (asked of ours: 1 million)", "Ours (cosine) is faster"]
    return table([*header, "Largest difference of a score"], rows)


def evaluation_scale(result: Result) -> str:
    """Seconds for a million trials with all figures."""
    rows = [[part, f"{seconds:.1f}"] for part, seconds in result["seconds"].items()]
    reached = answered(result["total_s"] <= result["asked_s"])
    rows.append(["**scored and measured**", f"{result['total_s']:.1f} (asked: {result['asked_s']:g}, {reached})"])
    counts = f"{result['trials']:,} trials, {result['recordings']:,} recordings, {result['speakers']:,} speakers"
    text = f"{counts}; {result['measures']} figures, {result['rounds']:,} bootstrap rounds.".replace(",", " ")
    return LINE.join([text.replace("  ", ", "), "", table(["Part", "Seconds"], rows)])


def full_evaluation_of(corpus: str) -> Callable[[Result], str]:
    """Every system on the trials of one corpus."""

    def full_evaluation(result: Result) -> str:
        found = next(one for one in result["corpora"] if one["corpus"] == corpus)
        counts = ", ".join(f"{count} {label}" for label, count in found["trials"].items())
        rows = []
        for system in found["systems"]:
            measures = {one["key"]: one for one in system["measures"]}
            rows.append([system["name"], *(_cell(measures.get(key)) for key in FIGURES)])
        text = f"{found['speakers']} speakers, {found['recordings']} recordings; trials: {counts}."
        headline = f"Compared on the same trials and draws of speakers: {found['comparison']['headline']}"
        return LINE.join([text, "", table(["System", *FIGURES.values()], rows), "", headline])

    return full_evaluation


def _cell(measure: Result | None) -> str:
    """A figure and its interval; a dash where the system has none."""
    if measure is None:
        return "–"
    times, digits = (100, 1) if measure["unit"] == "rate" else (1, 3)
    low, high = (f"{times * measure[end]:.{digits}f}" for end in ("low", "high"))
    if measure["value"] is None:
        return f"few: {low}–{high}"
    return f"{times * measure['value']:.{digits}f} ({low}–{high})"


EVALUATION = {
    "metric_agreement": ("metric_agreement.json", metric_agreement),
    "trial_lists": ("trial_lists.json", trial_lists),
    "trial_scoring": ("trial_scoring.json", trial_scoring),
    "evaluation_scale": ("evaluation_scale.json", evaluation_scale),
    "full_evaluation_speechocean": ("full_evaluation.json", full_evaluation_of("speechocean_adult16k")),
    "full_evaluation_ravdess": ("full_evaluation.json", full_evaluation_of("ravdess48k")),
}
