"""The states that are read off invented loss curves: confusion matrix, false alarms at the end and at every epoch.

    python benchmarks/diagnosis_curves.py [--curves 3000] [--seed 200000] [--live 600]

Invents pairs of a training and a validation curve of 10 to 100 epochs whose state is known: exponential and power-law
decays, plateaus, U-shaped validation, curves that rise, all with noise that goes with the level, is correlated from
epoch to epoch, and has spikes. A pair is *clear* where what the noise-free curves do over the last quarter is plainly
something (a change of 8 % or more) or nothing (1 % or less), and where least squares that knew the noise would tell the
slope of the last half to 2 %. Thresholds were set on seeds below 100000. Writes
benchmarks/results/diagnosis_curves.json; about five minutes on one core.
"""

import argparse
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table

from vivavoce.files import write_json
from vivavoce.training.diagnosis.diagnosis import held
from vivavoce.training.diagnosis.states import Curves, State, judge

HERE = Path(__file__).resolve().parent
MOVES, STANDS, TOLD = 0.08, 0.01, 0.02
TRUTHS = (
    *(State.LEARNING, State.FINISHED, State.OVERFITTING, State.DATA, State.BOTTLENECK, State.STRUCTURE),
)  # fmt: skip
HEALTHY = (State.LEARNING, State.FINISHED)


@dataclass(frozen=True)
class Pair:
    """Two invented curves and what is true of them."""

    curves: Curves
    truth: State
    family: str
    clear: bool


def draw(rng: np.random.Generator, truth: State) -> Pair:
    """Invent a pair of curves in a state."""
    epochs = int(rng.integers(10, 101))
    family, train, validation, rate, share = FAMILIES[truth](rng, epochs)
    noises = [_noise(rng, epochs) for _ in range(2)]
    clear = all(_plain(curve) and told <= TOLD for curve, (_, told) in zip((train, validation), noises, strict=True))
    level = 10 ** rng.uniform(-1, 0.7)
    seen = [level * curve * factor for curve, (factor, _) in zip((train, validation), noises, strict=True)]
    return Pair(Curves(seen[0], seen[1], rate, share_done=share), truth, family, clear)


def _noise(rng: np.random.Generator, epochs: int) -> tuple[np.ndarray, float]:
    """Factors about 1, and the standard error of the last half's slope as a change over the last quarter."""
    size, correlation = 10 ** rng.uniform(-2.5, -1), rng.uniform(0, 0.6)
    shocks = rng.normal(0, size * math.sqrt(1 - correlation**2), epochs)
    walk = np.empty(epochs)
    walk[0] = rng.normal(0, size)
    for epoch in range(1, epochs):
        walk[epoch] = correlation * walk[epoch - 1] + shocks[epoch]
    factor = np.exp(walk)
    spikes = rng.random(epochs) < rng.choice([0, 0.03])
    factor[spikes] *= rng.uniform(1.2, 2.5, spikes.sum())
    half, quarter = epochs // 2, max(5, epochs // 4)
    error = size * math.sqrt(12 / (half**3 - half) * (1 + correlation) / (1 - correlation)) * (quarter - 1)
    return factor, error


def _plain(curve: np.ndarray) -> bool:
    quarter = max(5, math.ceil(len(curve) / 4))
    change = abs(math.log(curve[-1] / curve[-quarter]))
    return change >= MOVES or change <= STANDS


Drawn = tuple[str, np.ndarray, np.ndarray, np.ndarray | None, float | None]


def _decay(rng: np.random.Generator, time: np.ndarray, unfinished: bool) -> tuple[str, np.ndarray]:
    """A loss from 1 to a floor over ``time`` 0…1; ``unfinished`` leaves plenty to gain at 1."""
    floor = 10 ** rng.uniform(-2, -0.4)
    if rng.random() < 0.5:
        speed = rng.uniform(0.7, 2.2) if unfinished else rng.uniform(4, 10)
        return "exponential", floor + (1 - floor) * np.exp(-speed * time)
    power = rng.uniform(0.35, 1.0) if unfinished else rng.uniform(1.5, 3)
    return "power law", floor * 0.5 + (1 - floor * 0.5) * (1 + 30 * time) ** -power


def _times(rng: np.random.Generator, epochs: int, planned: int) -> tuple[np.ndarray, np.ndarray]:
    """Learning rate of a warm-up and half a cosine over ``planned`` epochs, and the way it has gone, 0…1 at the end."""
    progress = (np.arange(epochs) + 1) / planned
    warm_up = rng.uniform(0.02, 0.1)
    rate = np.minimum(1, progress / warm_up) * 0.5 * (1 + np.cos(np.pi * np.clip(progress, 0, 1)))
    gone = np.cumsum(rate)
    return rate * 2e-3, gone / (0.5 * planned)


def _gap(rng: np.random.Generator, train: np.ndarray) -> np.ndarray:
    return train * rng.uniform(0.9, 1.6) + rng.choice([0, 1]) * rng.uniform(0, 0.05)


def _learning(rng: np.random.Generator, epochs: int) -> Drawn:
    if rng.random() < 0.5:  # at a constant rate
        name, train = _decay(rng, np.arange(epochs) / epochs, unfinished=True)
        return name, train, _gap(rng, train), np.full(epochs, 1e-3), None
    planned = round(epochs / rng.uniform(0.3, 0.7))
    rate, way = _times(rng, epochs, planned)
    name, train = _decay(rng, way, unfinished=True)
    return f"{name}, in the midst of a schedule", train, _gap(rng, train), rate, epochs / planned


def _finished(rng: np.random.Generator, epochs: int) -> Drawn:
    rate, way = _times(rng, epochs, epochs)
    name, train = _decay(rng, way, unfinished=bool(rng.random() < 0.3))
    return f"{name}, schedule at its end", train, _gap(rng, train), rate, 1.0


def _overfitting(rng: np.random.Generator, epochs: int) -> Drawn:
    time = np.arange(epochs) / epochs
    planned = round(epochs / rng.uniform(0.4, 0.9))
    rate = np.full(epochs, 1e-3) if rng.random() < 0.5 else _times(rng, epochs, planned)[0]
    train = rng.uniform(0, 0.05) + np.exp(-rng.uniform(1.2, 4) * time)
    turn = rng.uniform(0.15, 0.5)
    best = rng.uniform(0.3, 0.8)
    validation = best + (1 - best) * np.clip(1 - time / turn, 0, 1) ** 2
    if rng.random() < 0.5:
        return "validation levels off", train, validation, rate, epochs / planned
    rises = validation + rng.uniform(0.3, 1.5) * np.clip(time - turn, 0, 1) ** rng.uniform(1, 2)
    return "validation U-shaped", train, rises, rate, epochs / planned


def _data(rng: np.random.Generator, epochs: int) -> Drawn:
    time = np.arange(epochs) / epochs
    _, validation = _decay(rng, time, unfinished=True)
    level = np.ones(epochs) if rng.random() < 0.7 else 0.7 + 0.3 * np.exp(-12 * time)
    return "training flat", level, validation, np.full(epochs, 1e-3), None


def _bottleneck(rng: np.random.Generator, epochs: int) -> Drawn:
    time = np.arange(epochs) / epochs
    planned = round(epochs / rng.uniform(0.3, 0.75))
    if rng.random() < 0.4:
        rate = np.full(epochs, 1e-3) if rng.random() < 0.5 else _times(rng, epochs, planned)[0]
        return "flat from the start", np.ones(epochs), np.full(epochs, 1.1), rate, epochs / planned
    floor = rng.uniform(0.3, 0.8)
    train = floor + (1 - floor) * np.exp(-rng.uniform(10, 25) * time)
    return "plateau at a constant rate", train, _gap(rng, train), np.full(epochs, 1e-3), epochs / planned


def _structure(rng: np.random.Generator, epochs: int) -> Drawn:
    time = np.arange(epochs) / epochs
    turn = rng.choice([0.0, rng.uniform(0.2, 0.5)])
    train = 0.6 + 0.4 * np.clip(1 - time / max(turn, 1e-9), 0, 1) ** 2 * (turn > 0)
    train = train + rng.uniform(0.5, 2) * np.clip(time - turn, 0, 1)
    return "both rise", train, _gap(rng, train), np.full(epochs, 1e-3), None


FAMILIES = {
    State.LEARNING: _learning,
    State.FINISHED: _finished,
    State.OVERFITTING: _overfitting,
    State.DATA: _data,
    State.BOTTLENECK: _bottleneck,
    State.STRUCTURE: _structure,
}


def right(truth: State, found: State) -> bool:
    """Whether a verdict fits: where a schedule ends in the midst of learning, both healthy answers are right."""
    return found is truth or (truth is State.FINISHED and found is State.LEARNING)


def measure(curves: int, seed: int) -> dict:
    """Judge ``curves`` pairs, as many of each state; returns the confusion matrices, clear and all."""
    pairs = [draw(np.random.default_rng([seed, number]), TRUTHS[number % len(TRUTHS)]) for number in range(curves)]
    found = [judge(pair.curves).state for pair in pairs]
    result = {}
    for name, members in (("clear", [pair.clear for pair in pairs]), ("all", [True] * len(pairs))):
        chosen = [(pair, state) for pair, state, member in zip(pairs, found, members, strict=True) if member]
        matrix = {truth: Counter(state for pair, state in chosen if pair.truth is truth) for truth in TRUTHS}
        healthy = [state for pair, state in chosen if pair.truth in HEALTHY]
        result[name] = {
            "curves": len(chosen),
            "matrix": {truth: {state: matrix[truth][state] for state in State} for truth in TRUTHS},
            "right": sum(right(pair.truth, state) for pair, state in chosen) / len(chosen),
            "right by state": {
                truth: sum(count for state, count in matrix[truth].items() if right(truth, state))
                / max(1, matrix[truth].total())
                for truth in TRUTHS
            },
            "wrong": sum(state is not State.TOO_EARLY and not right(pair.truth, state) for pair, state in chosen)
            / len(chosen),
            "healthy": len(healthy),
            "false alarms": sum(state.is_alarm for state in healthy) / len(healthy),
        }
    return result


def live(runs: int, seed: int) -> dict:
    """Ask at every epoch of healthy runs, as a running training does."""
    asked = alarms = touched = acted = 0
    for number in range(runs):
        pair = draw(np.random.default_rng([seed, 1, number]), HEALTHY[number % 2])
        epochs = len(pair.curves.train)
        states = [judge(pair.curves.before(epochs - stop)).state for stop in range(1, epochs + 1)]
        found = sum(state.is_alarm for state in states)
        acted += any(
            state.is_alarm and all(states[max(0, place - last)] is state for last in range(held(place + 1)))
            for place, state in enumerate(states)
        )
        asked, alarms, touched = asked + epochs, alarms + found, touched + bool(found)
    shares = {"alarms an epoch": alarms / asked, "runs with an alarm": touched / runs, "runs acted on": acted / runs}
    return {"runs": runs, "epochs": asked, **shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=3000)
    parser.add_argument("--live", type=int, default=600, help="healthy runs that are asked about at every epoch")
    parser.add_argument("--seed", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "diagnosis_curves.json")
    options = parser.parse_args()
    result = {"seed": options.seed, **measure(options.curves, options.seed), "live": live(options.live, options.seed)}
    result["asked"] = {"right": 0.95, "false alarms": 0.02}
    for name in ("clear", "all"):
        show(name, result[name])
    Console().print(result["live"])
    write_json(options.out, result)


def show(name: str, result: dict) -> None:
    title = f"{name}: {result['curves']} pairs, right {result['right']:.3f}, wrong {result['wrong']:.3f}, "
    table = Table(title=title + f"false alarms {result['false alarms']:.4f} of {result['healthy']} healthy")
    for column in ("truth", *State, "right"):
        table.add_column(column)
    for truth, row in result["matrix"].items():
        table.add_row(truth, *map(str, row.values()), f"{result['right by state'][truth]:.3f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
