"""A million trials: scored, and every figure of an evaluation with 1,000 bootstrap rounds.

    python benchmarks/evaluation_scale.py [--speakers 1000] [--rounds 1000]

Invents embeddings and liveness scores of speakers with 23 live recordings and 20 attacks of four species each, makes
trials of them (85 non-targets a target), scores them as an evaluation does, and computes all measures of the voice, of
liveness, and of the whole system. Prints the seconds of each part beside the minute that is asked, and writes
benchmarks/results/evaluation_scale.json. About a minute on two cores.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.measuring import (
    DCF_PRIORS,
    LIVE,
    NONTARGET,
    TARGET,
    Resampled,
    detection_measures,
    ratio_measures,
)
from vivavoce.evaluation.metrics.detection import bayes_threshold, eer
from vivavoce.evaluation.presentations import Presentations, attack_decisions, attack_measures
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.system import class_scores, system_measures
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.files import write_json

HERE = Path(__file__).resolve().parent
ASKED_S = 60.0
DIMENSIONS = 192
SPECIES = (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.SWAPPED_MOUTH, Kind.TTS)
LIVE_EACH, ATTACKS_EACH, NONTARGETS = 23, 5, 85
UNANSWERED = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "evaluation_scale.json")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = invent_rows(options.speakers)
    embeddings, liveness = invent_scores(rows, rng)
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal clock
        seconds[part] = time.perf_counter() - clock
        clock = time.perf_counter()

    trials = make_trials(rows, max_nontarget_per_target=NONTARGETS).with_speakers(rows)
    lap("trials made")
    cosine = score_trials(trials, rows, embeddings)
    voice, mouth = np.asarray(cosine.scores, np.float64), liveness[cosine.test_index]
    lap("trials scored")
    boot = Bootstrap(trials.speaker_codes()[2], options.rounds)
    measures = voice_measures(trials, voice, boot)
    lap("voice")
    measures += mouth_measures(rows, liveness, options.rounds)
    lap("liveness")
    # In nats as in use, so that neither answer outweighs the other.
    fused = np.minimum(20 * (voice - 0.3), mouth)
    scores = TrialScores("invented", trials, fused, voice, mouth, 0.0)
    measures += system_measures(scores, fused >= 0, np.isnan(fused), boot, 0.3)
    lap("whole system")
    total = sum(seconds.values()) - seconds["trials made"]
    show(len(trials), options.rounds, measures, seconds, total)
    result = {
        "trials": len(trials),
        "speakers": options.speakers,
        "recordings": len(rows),
        "rounds": options.rounds,
        "measures": len(measures),
        "with interval": sum(measure.low is not None for measure in measures),
        "seconds": seconds,
        "total_s": total,
        "asked_s": ASKED_S,
        "trials/s": len(trials) / seconds["trials scored"],
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__},
    }
    write_json(options.out, result)


def invent_rows(speakers: int) -> list[Row]:
    """Recordings of speakers in two sessions, live and attacked."""
    rows = []
    for speaker in range(speakers):
        kinds = [Kind.LIVE] * LIVE_EACH + [kind for kind in SPECIES for _ in range(ATTACKS_EACH)]
        for number, kind in enumerate(kinds):
            name = f"s{speaker:04}-{number:02}"
            meta = Metadata(kind=kind, session=f"s{speaker:04}-{number % 2}", sex="F" if speaker % 2 else "M")
            rows.append(Row(name, Path(f"{name}.wav"), f"s{speaker:04}", None, 0.0, 3.0, 48_000, 0, meta))
    return rows


def invent_scores(rows: list[Row], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings around a mean a speaker, and liveness scores of which some are missing."""
    codes = np.unique([row.speaker for row in rows], return_inverse=True)[1]
    means = rng.normal(0, 1, (codes.max() + 1, DIMENSIONS)).astype(np.float32)
    found = means[codes] + rng.normal(0, 1.6, (len(rows), DIMENSIONS)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    live = np.array([row.meta.kind is Kind.LIVE for row in rows])
    liveness = np.where(live, 2.0, -2.0) + rng.normal(0, 1.5, len(rows))
    liveness[rng.random(len(rows)) < UNANSWERED] = np.nan
    return found, liveness


def voice_measures(trials, voice: np.ndarray, boot: Bootstrap) -> list[Measure]:
    found = class_scores(trials, voice)
    classes = {name: found[name] for name in (TARGET, NONTARGET)}
    threshold = eer(classes[TARGET].scores, classes[NONTARGET].scores).threshold
    priors = [bayes_threshold(prior) for prior in DCF_PRIORS]
    ratios = {name: ClassScores(20 * (one.scores - threshold), one.first, one.second) for name, one in classes.items()}
    return [
        *detection_measures(Resampled(classes, boot, [threshold]), threshold=threshold),
        *ratio_measures(Resampled(ratios, boot, priors)),
    ]


def mouth_measures(rows: list[Row], liveness: np.ndarray, rounds: int) -> list[Measure]:
    kinds = np.array([row.meta.kind.value for row in rows])
    names, who = np.unique([row.speaker for row in rows], return_inverse=True)
    boot = Bootstrap(len(names), rounds)
    answered = ~np.isnan(liveness)
    wanted = [LIVE, *(kind.value for kind in SPECIES)]
    heard = {name: (kinds == name) & answered for name in wanted}
    classes = {name: ClassScores.of(liveness[mask], who[mask]) for name, mask in heard.items()}
    parts = {
        name: Presentations(ClassScores.of(liveness[mask], who[mask]), answered[mask], liveness[mask] >= 0)
        for name in wanted
        for mask in [kinds == name]
    }
    measures = attack_measures(Resampled(classes, boot), wanted[1:])
    return [*measures, *attack_decisions(boot, parts.pop(LIVE), parts)]


def show(trials: int, rounds: int, measures: list[Measure], seconds: dict[str, float], total: float) -> None:
    table = Table(title=f"{trials:,} trials, {len(measures)} measures, {rounds:,} bootstrap rounds")
    table.add_column("Part")
    table.add_column("Seconds", justify="right")
    for part, value in seconds.items():
        table.add_row(part, f"{value:.1f}")
    table.add_row("[bold]scored and measured[/]", f"[bold]{total:.1f}[/] (asked: {ASKED_S:g})")
    Console().print(table)


if __name__ == "__main__":
    main()
