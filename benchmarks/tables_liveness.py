"""Tables of the liveness benchmark: what was asked beside what was reached, and what limits it."""

from collections.abc import Sequence

from tables import LINE, Result, answered, percent, table
from tables_liveness_runs import (
    CONDITIONS,
    JUDGES,
    NONE,
    Maker,
    interval,
    liveness_ablation,
    liveness_curve,
    liveness_detectors,
    liveness_front_ends,
    liveness_matrix,
    motion,
    needs,
)


@needs("targets")
def liveness_targets(result: Result) -> str:
    """Every figure that was asked, by motion and condition."""
    rows = []
    for figure, source in _keys(result["targets"], "figure", "source"):
        own = {r["condition"]: r for r in result["targets"] if (r["figure"], r["source"]) == (figure, source)}
        rows.append([figure, motion(source), *(_cell(own.get(condition)) for condition in CONDITIONS)])
    asked = [row for row in result["targets"] if row["reached"] is not None]
    reached = sum(row["reached"] for row in asked)
    head = (
        f"Head `{result['detector']}`. Of {len(asked)} figures that were asked, {reached} were reached and "
        f"{len(asked) - reached} were missed."
    )
    return f"{_smoke(result)}{head}\n\n{table(['Figure', 'Motion', *CONDITIONS], rows)}"


def _cell(row: Result | None) -> str:
    if row is None:
        return NONE
    seeds = row.get("seeds", [])
    # The interval is of one training; beside it what other seeds gave.
    more = f", seeds {100 * min(seeds):.1f} to {100 * max(seeds):.1f}" if len(seeds) > 1 else ""
    speaker = f", {row['loudspeaker']}" if row.get("loudspeaker") else ""
    if row["asked"] is None:
        return f"{interval(row)}{more}{speaker}"
    word = "reached" if row["reached"] else "**missed**"
    return f"{interval(row)}{more}{speaker}; ≤ {100 * row['asked']:g} %: {word}"


@needs("abstentions")
def liveness_abstentions(result: Result) -> str:
    """How often there is no answer, where none should be and where one should be."""
    rows = [
        [
            *(f"`{row['kind']}`", motion(row["source"]), row["condition"], percent(row["abstained"]), str(row["n"])),
            NONE if row["asked"] is None else f"≥ {100 * row['asked']:g} %", answered(row["reached"]),
        ]
        for row in result["abstentions"]
    ]  # fmt: skip
    return table(["Kind", "Motion", "Condition", "No answer", "Recordings", "Asked", "Reached"], rows)


@needs("kinds")
def liveness_species(result: Result) -> str:
    """Every kind of attack: error rate, and what is accepted at the threshold of the validation recordings."""
    kinds = [r for r in result["kinds"] if r["half"] == "unseen" and r["loudspeaker"] is None and r["eer"] is not None]
    rows = []
    for source, kind in _keys(kinds, "source", "kind"):
        own = {r["condition"]: r for r in kinds if (r["source"], r["kind"]) == (source, kind)}
        cells = [
            f"{interval(own[place]['eer'])}; {percent(own[place]['accepted'])}" if place in own else NONE
            for place in CONDITIONS
        ]
        rows.append([f"`{kind}`", motion(source), *cells])
    lines = []
    for row in result.get("species", []):
        ratio = NONE if row["ratio"] is None else f"{row['ratio']:.2f} times"
        word = "" if row["ratio"] is None else f" (asked: 2 times at most; {_word(row['ratio'] <= 2)})"
        lines.append(
            f"- {row['condition']}: held-out species {percent(row['held_out'])}, seen ones {percent(row['seen'])}: "
            f"{ratio}{word}."
        )
    text = "EER with its interval; then what is accepted at the threshold of the simulated validation recordings."
    return f"{LINE.join([text, '', *lines])}\n\n{table(['Kind', 'Motion', *CONDITIONS], rows)}"


@needs("passive")
def liveness_passive(result: Result) -> str:
    """The passive baseline beside ours."""
    passive = result["passive"]
    rows = []
    for row in passive["rows"]:
        half = "seen" if row["half"] == "seen" else "unseen"
        ratio = row["times_lower"]
        asked = row["loudspeaker"] is None and half == "unseen"
        rows.append(
            [
                *(motion(row["source"]), row["condition"], row["loudspeaker"] or f"all, {half}"),
                *(_rates(row[name]) for name in ("passive", "ours")),
                NONE if ratio is None else f"{ratio:.1f}",
                answered(ratio >= 5) if asked and ratio is not None else NONE,
            ]
        )
    text = (
        f"LFCC and two mixtures of {passive['components']} Gaussians, trained on {passive['live']} live recordings and "
        f"{passive['attacks']} attacks, as ours is. EER; accepted attacks and rejected live recordings at each "
        f"detector's own validation threshold; accepted attacks where {percent(passive['bpcer'])} of the live ones are "
        "rejected, and how many times fewer ours accepts there (asked: 5 times; where ours accepts none, 3 over their "
        "number counts)."
    )
    header = ["Motion", "Condition", "Loudspeakers", "Passive", "Ours", "Times fewer", "Reached"]
    return f"{text}\n\n{table(header, rows)}"


def _rates(found: Result) -> str:
    """EER; APCER and BPCER at the validation threshold; APCER at the common BPCER."""
    rate = NONE if found["eer"] is None else percent(found["eer"]["value"])
    at = NONE if found["at_validation"] is None else percent(found["at_validation"]["accepted"])
    live = NONE if found["live_rejected"] is None else percent(found["live_rejected"])
    equal = NONE if found["at_equal_rejects"] is None else percent(found["at_equal_rejects"]["apcer"])
    return f"EER {rate}; {at} / {live}; {equal}"


@needs("transfer")
def liveness_transfer(result: Result) -> str:
    """The validation threshold on other motion."""
    rows = []
    for row in result["transfer"]:
        ratio = row["ratio"]
        rows.append(
            [
                *(motion(row["source"]), row["condition"], percent(row["validation"])),
                interval({"value": row["accepted"], "low": row["low"], "high": row["high"]}),
                NONE if row["live_rejected"] is None else percent(row["live_rejected"]),
                NONE if ratio is None else f"{ratio:.2f}",
                "≤ 2" if row["source"] in JUDGES else NONE,
                answered(ratio <= 2) if ratio is not None and row["source"] in JUDGES else NONE,
            ]
        )
    header = [
        *("Motion", "Condition", "Accepted in validation", "Accepted here", "Live ones rejected here"),
        *("Ratio", "Asked", "Reached"),
    ]
    return table(header, rows)


@needs("babble")
def liveness_babble(result: Result) -> str:
    """Other voices at 0 dB."""
    rows = [
        [
            *(motion(row["source"]), row["condition"], percent(row["without"]), interval(row)),
            *(f"{100 * row['added']:+.1f} points", "≤ 1 point", answered(row["added"] <= 0.01)),
        ]
        for row in result["babble"]
    ]
    return table(["Motion", "Condition", "Without", "With", "Added", "Asked", "Reached"], rows)


@needs("splices")
def liveness_splices(result: Result) -> str:
    """Spliced segments found."""
    found = result["splices"]
    rows = [
        [
            *(motion(row["source"]), row["condition"], interval(row), str(row["segments"])),
            *("≥ 80 %", answered(row["value"] >= 0.8)),
            NONE if row["at_own_threshold"] is None else percent(row["at_own_threshold"]),
            percent(row["told_its_length"]),
        ]
        for row in found["rows"]
    ]
    text = (
        f"The threshold of frames is the best of spliced validation recordings ({percent(found['validation'])} found "
        "there). The run's own it takes from live recordings alone. In the last column the answer is told that there "
        "is a segment, and its length, and names the stretch of that length whose frames are the least live."
    )
    header = ["Motion", "Condition", "Found", "Segments", "Asked", "Reached"]
    header += ["At the run's own threshold", "Told its length"]
    return f"{text}\n\n{table(header, rows)}"


@needs("running")
def liveness_running(result: Result) -> str:
    """A decision that goes on until it is sure."""
    rows = [
        [
            *(motion(row["source"]), row["condition"], str(row["utterances"]), percent(row["apcer"])),
            *(percent(row["bpcer"]), percent(row["live_accepted"]), percent(row["undecided"])),
            f"{row['mean_utterances']:.2f}",
        ]
        for row in result["running"]
    ]
    header = [
        *("Motion", "Condition", "Utterances at most", "Swapped mouths accepted", "Live ones rejected"),
        *("Live ones accepted", "Live ones undecided", "Utterances heard, mean"),
    ]
    return table(header, rows)


def _keys(rows: Sequence[Result], *names: str) -> list[tuple[str, ...]]:
    """Distinct values of some columns, in the order of their coming."""
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def _word(reached: bool) -> str:
    return "reached" if reached else "**missed**"


def _smoke(result: Result) -> str:
    return "**A tiny run that only shows that the script works.**\n\n" if result["smoke"] else ""


FILE = "liveness.json"
LIVENESS: dict[str, tuple[str, Maker]] = {
    make.__name__: (FILE, make)
    for make in (
        *(liveness_targets, liveness_abstentions, liveness_transfer, liveness_species, liveness_passive),
        *(liveness_matrix, liveness_detectors, liveness_front_ends, liveness_ablation, liveness_curve),
        *(liveness_babble, liveness_splices, liveness_running),
    )
}
