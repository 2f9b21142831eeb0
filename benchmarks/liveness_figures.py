"""Figures of the liveness benchmark from scores: error rates with intervals, shares accepted, shares without answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from liveness_plan import (
    CONDITIONS,
    FAMILIES,
    HELD_OUT_ATTACKS,
    LARGE_SWAY,
    PLAYED,
    SEEN_ATTACKS,
    Condition,
    Training,
)
from liveness_runs import Scores, scores, threshold
from liveness_sets import Bench, SetPlan
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.intervals import Interval, bootstrap_interval, rate_interval
from vivavoce.evaluation.metrics.detection import eer

Figure = dict[str, Any]
SWAPPED = (Kind.SWAPPED_MOUTH,)
NO_MOUTH = (*PLAYED, Kind.RECORDED_ULTRASOUND)
BPCER = 0.05  # at which our detector and the passive one are compared


def bounds(interval: Interval | None) -> Figure:
    """An interval as the results keep it."""
    if interval is None:
        return {"low": None, "high": None, "method": None}
    return {"low": interval.low, "high": interval.high, "method": interval.method}


def error_rate(part: Scores, attacks: np.ndarray, resamples: int) -> Figure | None:
    """Equal error rate of the live recordings that got an answer against ``attacks`` (rows,) bool.

    An attack without a mouth that gets no answer is one that was rejected: often nothing moves in it. One with a mouth
    that gets no answer is left out, as a live recording is: both say that the mouth cannot be seen.
    """
    live = part.of([Kind.LIVE]) & part.answered
    spoof = attacks & (part.answered | part.of(NO_MOUTH))
    if not live.any() or not spoof.any():
        return None
    genuine, others = part.score[live], part.score[spoof]
    least = min(float(genuine.min()), float(np.nanmin(others)) if not np.isnan(others).all() else 0.0)
    others = np.nan_to_num(others, nan=least - 1)
    interval = bootstrap_interval(
        genuine, others, part.speakers[live], part.speakers[spoof], resamples=resamples, seed=0
    )
    return {
        "value": eer(genuine, others).rate,
        **bounds(interval),
        "live": int(live.sum()),
        "attacks": int(spoof.sum()),
    }


def accepted(part: Scores, chosen: np.ndarray, limit: float, resamples: int) -> Figure | None:
    """Share of recordings that get an answer, and it is "live"; and the share that gets no answer."""
    if not chosen.any():
        return None
    passed = np.nan_to_num(part.score[chosen], nan=-np.inf) >= limit
    interval = rate_interval(passed, part.speakers[chosen], resamples=resamples)
    abstained = ~part.answered[chosen]
    return {
        "accepted": float(passed.mean()), **bounds(interval),
        "abstained": float(abstained.mean()), "n": int(chosen.sum()),
    }  # fmt: skip


def place(plan: SetPlan) -> Figure:
    """Which set a figure is of."""
    condition = plan.condition.name if plan.condition else "mixed"
    return {"source": plan.source, "condition": condition, "seconds": plan.seconds, "half": plan.half}


def pairs(bench: Bench, training: Training) -> list[Figure]:
    """Swapped mouths against live recordings, by every source of motion and condition that a training is judged on."""
    rows = []
    for plan in [plan for seconds in training.lengths_s for plan in bench.test_sets(seconds)]:
        if plan.source not in training.sources:
            continue
        part = scores(bench, training, plan)
        found = error_rate(part, part.of(SWAPPED), bench.size.resamples)
        if found is not None:
            rows.append({"run": training.name, "group": training.group, **place(plan), **found})
    return rows


def kinds(bench: Bench, training: Training) -> list[Figure]:
    """Every kind of every set of 3 s: error rate against live, share accepted at the validation threshold."""
    limit = threshold(bench, training, 3, SEEN_ATTACKS, whole=True)
    rows = []
    for plan in [*bench.test_sets(3), *bench.other_sets()]:
        part = scores(bench, training, plan, whole=True)
        for kind in Kind:
            chosen = part.of([kind])
            found = accepted(part, chosen, limit, bench.size.resamples)
            if found is None:
                continue
            row = {"kind": kind.value, "loudspeaker": None, **place(plan), **found}
            rows.append(row | {"eer": error_rate(part, chosen, bench.size.resamples) if kind.is_spoof else None})
        rows += [row | place(plan) for row in _by_loudspeaker(bench, part, limit)]
    return rows


def _by_loudspeaker(bench: Bench, part: Scores, limit: float) -> list[Figure]:
    """Replays and synthetic voices together, by the loudspeaker that plays them."""
    sizes = sorted({row.meta.loudspeaker for row in part.rows if row.meta.loudspeaker and row.meta.kind in PLAYED})
    rows = []
    for size in sizes:
        chosen = part.of(PLAYED, loudspeaker=size)
        found = accepted(part, chosen, limit, bench.size.resamples)
        if found is not None:
            rate = error_rate(part, chosen, bench.size.resamples)
            rows.append({"kind": "replay and tts", "loudspeaker": size, **found, "eer": rate})
    return rows


def transfer(bench: Bench, training: Training) -> list[Figure]:
    """False accepts of swapped mouths at the threshold of simulated validation data, there and on other motion."""
    limit = threshold(bench, training, 3, SEEN_ATTACKS, whole=True)
    simulated = {}
    for plan in bench.validation_sets(3):
        part = scores(bench, training, plan, whole=True)
        simulated[place(plan)["condition"]] = accepted(part, part.of(SWAPPED), limit, bench.size.resamples)
    rows = []
    for plan in bench.test_sets(3):
        part = scores(bench, training, plan, whole=True)
        found = accepted(part, part.of(SWAPPED), limit, bench.size.resamples)
        base = simulated[place(plan)["condition"]]
        if found is None or base is None:
            continue
        live = accepted(part, part.of([Kind.LIVE]), limit, bench.size.resamples)
        ratio = found["accepted"] / base["accepted"] if base["accepted"] else None
        rows.append(
            {**place(plan), "validation": base["accepted"], **found, "ratio": ratio}
            | {"live_rejected": None if live is None else 1 - live["accepted"]}
        )
    return rows


def species(rows: Sequence[Figure]) -> list[Figure]:
    """Held-out species against seen ones: the mean of their error rates in each condition, phonetic motion."""
    result = []
    for condition in CONDITIONS:
        of = [
            row for row in rows
            if row["source"] == "phonetic" and row["half"] == "unseen" and row["condition"] == condition.name
            and row["loudspeaker"] is None and row["eer"] is not None
        ]  # fmt: skip
        held = [row["eer"]["value"] for row in of if row["kind"] in [kind.value for kind in HELD_OUT_ATTACKS]]
        seen = [row["eer"]["value"] for row in of if row["kind"] in [kind.value for kind in SEEN_ATTACKS]]
        if held and seen:
            a, b = float(np.mean(held)), float(np.mean(seen))
            ratio = a / b if b else None
            result.append({"condition": condition.name, "held_out": a, "seen": b, "ratio": ratio})
    return result


def at_equal_rejects(part: Scores, chosen: np.ndarray, bpcer: float) -> Figure | None:
    """Share of ``chosen`` accepted where ``bpcer`` of the live recordings that got an answer are rejected."""
    live = part.score[part.of([Kind.LIVE]) & part.answered]
    if not len(live) or not chosen.any():
        return None
    limit = float(np.quantile(live, bpcer))
    passed = np.nan_to_num(part.score[chosen], nan=-np.inf) >= limit
    return {"apcer": float(passed.mean()), "n": int(chosen.sum())}


# Percent asked at stand 10 cm, stand 20 cm and handheld 10 cm; None: reported.
ASKED: dict[str, tuple[float | None, float | None, float | None]] = {
    "swapped mouth, 3 s": (5, 9, 15),
    "swapped mouth, 6 s": (2, 3, 8),
    "shift of 200 ms, 3 s": (5, None, None),
    "shift of 500 ms or more, 3 s": (4, None, None),
    "replay and tts, worst loudspeaker": (1, 2, 5),
    "recorded ultrasound, success": (1, 1, 1),
    "mouthing": (None, None, None),
}
ABSTAIN_ASKED = 99.0


def target(name: str, source: str, condition: Condition, found: Figure) -> Figure:
    """One cell of the table of what was asked: the value beside its limit, in shares.

    Nothing is asked of the simulator's own motion: an easier simulator would reach it.
    """
    asked = ASKED[name][CONDITIONS.index(condition)]
    limit = None if asked is None or source == FAMILIES[0] else asked / 100
    return {
        "figure": name, "source": source, "condition": condition.name, **found, "asked": limit,
        "reached": None if limit is None else found["value"] <= limit,
    }  # fmt: skip


def targets(parts: dict[str, Any], detector_run: str = "seed 0") -> list[Figure]:
    """What was asked beside what was reached, by source of motion and condition, from what was measured so far."""
    rows: list[Figure] = []
    seeds = [row for row in parts.get("eer", []) if row["run"].startswith("seed ")]
    for row in seeds:
        if row["run"] != detector_run:
            continue
        same = [o["value"] for o in seeds if all(o[k] == row[k] for k in ("source", "condition", "seconds"))]
        found = {k: row[k] for k in ("value", "low", "high", "method", "live", "attacks")} | {"seeds": sorted(same)}
        rows.append(target(f"swapped mouth, {row['seconds']:g} s", row["source"], _condition(row), found))
    for row in parts.get("shifts", []):
        found = {k: row[k] for k in ("value", "low", "high", "method", "live", "attacks")}
        rows.append(target(row["figure"], row["source"], _condition(row), found))
    measured = [
        row for row in parts.get("kinds", []) if row["half"] == "unseen" and row["condition"] != LARGE_SWAY.name
    ]
    rows += _played(measured)
    for row in measured:
        if row["kind"] == Kind.RECORDED_ULTRASOUND:
            found = {"value": row["accepted"], "low": row["low"], "high": row["high"], "method": row["method"]}
            rows.append(
                target("recorded ultrasound, success", row["source"], _condition(row), found | {"attacks": row["n"]})
            )
        if row["kind"] == Kind.MOUTHING and row["eer"] is not None:
            rows.append(target("mouthing", row["source"], _condition(row), row["eer"]))
    return rows


def _played(measured: Sequence[Figure]) -> list[Figure]:
    """The loudspeaker with the highest error rate, for each source and condition."""
    worst: dict[tuple[str, str], Figure] = {}
    for row in measured:
        if row["loudspeaker"] is None or row["eer"] is None:
            continue
        key = (row["source"], row["condition"])
        if key not in worst or row["eer"]["value"] > worst[key]["eer"]["value"]:
            worst[key] = row
    return [
        target(
            *("replay and tts, worst loudspeaker", row["source"], _condition(row)),
            row["eer"] | {"loudspeaker": row["loudspeaker"]},
        )
        for row in worst.values()
    ]


def _condition(row: Figure) -> Condition:
    return next(condition for condition in CONDITIONS if condition.name == row["condition"])


def abstentions(parts: dict[str, Any]) -> list[Figure]:
    """Where an abstention is asked for, how often it came; and how often it came for a live recording in order."""
    rows = []
    for row in parts.get("kinds", []):
        wanted = row["kind"] in (Kind.PROBE_ABSENT, Kind.PROBE_JAMMED) or row["condition"] == LARGE_SWAY.name
        if row["half"] != "unseen" or not (wanted or row["kind"] == Kind.LIVE):
            continue
        asked = ABSTAIN_ASKED / 100 if wanted else None
        value = row["abstained"]
        rows.append(
            {**{k: row[k] for k in ("kind", "source", "condition", "n")}, "abstained": value, "asked": asked}
            | {"reached": None if asked is None else value >= asked}
        )
    return rows
