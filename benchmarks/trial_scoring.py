"""How many trials a second are scored, beside the loop over trials that other toolkits run.

    python benchmarks/trial_scoring.py [--trials 1000000] [--threads 2]

Random embeddings of 1,000 enrolments (three recordings each) and 20,000 tests, of 192 and of 512 dimensions, and
trials drawn among them at random. Ours is timed from the list of trials and the embeddings of all recordings to the
scores, which includes looking up every name and making the enrolments' means; the best of three runs. The others are
given means that are made already, by name, and score one trial after the other as their recipes do: WeSpeaker
(`bin/score.py`: scikit-learn's `cosine_similarity` of two rows), SpeechBrain (`speaker_verification_cosine.py`:
`torch.nn.CosineSimilarity` of two tensors) and a loop over `numpy.dot`, than which none can be quicker. Since each of
their trials takes as long as any other, they score the first of them only, a number that the table states. The largest
difference from our scores is over those trials. AS-norm has a cohort of 1,000, of which 300 count on each side.
Prints a table and writes benchmarks/results/trial_scoring.json.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics.pairwise import cosine_similarity
from threadpoolctl import threadpool_limits

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.evaluation.scoring.backends import Averaged, Cosine
from vivavoce.evaluation.scoring.normalisation import Cohort, NormalisationConfig
from vivavoce.evaluation.scoring.plda import Plda
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.table import LABEL_CODES, NONTARGET, Trials
from vivavoce.files import write_json

HERE = Path(__file__).resolve().parent
ENROLMENTS, RECORDINGS_EACH, TESTS, COHORT = 1_000, 3, 20_000, 1_000
DIMENSIONS = (192, 512)
LOOP_TRIALS, REPEATS = 20_000, 3

Loop = Callable[[Any, Any], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "trial_scoring.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        rows = [row for dimensions in DIMENSIONS for row in measure(dimensions, options.trials)]
    show(rows)
    machine = {"numpy": np.__version__, "torch": torch.__version__, "threads": options.threads}
    shape = {"enrolments": ENROLMENTS, "recordings each": RECORDINGS_EACH, "tests": TESTS, "cohort": COHORT}
    write_json(options.out, {"machine": machine, **shape, "rows": rows})


def measure(dimensions: int, count: int) -> list[dict]:
    """Rows of one size of embedding."""
    rng = np.random.default_rng(dimensions)
    rows = recordings()
    embeddings = rng.normal(size=(len(rows), dimensions)).astype(np.float32)
    trials = drawn(rows, count, rng)
    cohort = Cohort(rng.normal(size=(COHORT, dimensions)).astype(np.float32), tuple(f"c{n}" for n in range(COHORT)))
    as_norm = {"normalisation": NormalisationConfig(type="as_norm"), "cohort": cohort}
    ways = {"cosine": {}, "averaged": {"backend": Averaged(Cosine())}, "AS-norm": as_norm}
    ways["PLDA"] = {"backend": plda(dimensions, rng)}
    ours, scores = {}, np.empty(0)
    for name, more in ways.items():
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            found = score_trials(trials, rows, embeddings, **more).scores
            seconds.append(time.perf_counter() - began)
        ours[name] = count / min(seconds)
        scores = found if name == "cosine" else scores
    shared = {"dimensions": dimensions, "largest difference": None, "trials": count}
    result = [{"system": f"vivavoce, {name}", **shared, "trials/s": rate} for name, rate in ours.items()]
    for name, loop in loops().items():
        rate, theirs = timed_loop(loop, trials.take(np.arange(min(LOOP_TRIALS, count))), rows, embeddings, name)
        difference = float(np.abs(theirs - scores[: len(theirs)]).max())
        more = {"largest difference": difference, "trials": len(theirs), "ours is times": ours["cosine"] / rate}
        result.append({"system": name, **shared, "trials/s": rate, **more})
    return result


def recordings() -> list[Row]:
    """Rows of a manifest: the enrolments' recordings, then the tests."""
    span, meta = (0.0, 3.0, 16_000, 0), Metadata()
    names = [(f"e{n}-{take}", f"s{n}") for n in range(ENROLMENTS) for take in range(RECORDINGS_EACH)]
    names += [(f"t{n}", f"s{n % ENROLMENTS}") for n in range(TESTS)]
    return [Row(name, Path(f"{name}.wav"), speaker, None, *span, meta) for name, speaker in names]


def drawn(rows: list[Row], count: int, rng: np.random.Generator) -> Trials:
    """Trials at random; what their truth is does not matter here."""
    names = [str(row.path) for row in rows]
    own = [tuple(names[n * RECORDINGS_EACH : (n + 1) * RECORDINGS_EACH]) for n in range(ENROLMENTS)]
    enrolment, test = rng.integers(0, ENROLMENTS, count), rng.integers(0, TESTS, count)
    label = np.full(count, LABEL_CODES[NONTARGET])
    return Trials(own, names[ENROLMENTS * RECORDINGS_EACH :], enrolment, test, label)


def plda(dimensions: int, rng: np.random.Generator) -> Plda:
    """A model that was fitted to nothing: its scores mean nothing, its size is right."""
    square, zero = np.eye(dimensions), np.zeros(dimensions)
    return Plda(zero, square, np.array(True), zero, square, rng.uniform(0, 4, dimensions))


def loops() -> dict[str, Loop]:
    """How the others score one trial."""
    similarity = torch.nn.CosineSimilarity(dim=-1, eps=1e-6)
    return {
        "loop of WeSpeaker": lambda one, other: cosine_similarity(one.reshape(1, -1), other.reshape(1, -1))[0][0],
        "loop of SpeechBrain": lambda one, other: similarity(one, other)[0],
        "loop of numpy.dot": lambda one, other: one @ other / np.sqrt((one @ one) * (other @ other)),
    }


def timed_loop(
    score: Loop, trials: Trials, rows: list[Row], embeddings: np.ndarray, name: str
) -> tuple[float, np.ndarray]:
    """Trials a second of a loop, and its scores."""
    number = {str(row.path): index for index, row in enumerate(rows)}
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    means = {own: unit[[number[file] for file in own]].mean(axis=0) for own in trials.enrolments}
    tests = {file: embeddings[number[file]] for file in trials.tests}
    if "SpeechBrain" in name:  # whose recipe keeps tensors of one row
        means, tests = ({key: torch.from_numpy(one)[None] for key, one in part.items()} for part in (means, tests))
    pairs = [(trial.enrol, trial.test) for trial in trials]
    began = time.perf_counter()
    scores = [float(score(means[own], tests[file])) for own, file in pairs]
    return len(pairs) / (time.perf_counter() - began), np.array(scores)


def show(rows: list[dict]) -> None:
    table = Table(title="Trials scored a second")
    names = ("system", "dimensions", "trials", "trials/s", "ours is times", "largest difference")
    for name in names:
        table.add_column(name, justify="left" if name == "system" else "right")
    for row in rows:
        cells = [row.get(name) for name in names]
        table.add_row(*("" if c is None else f"{c:,.3g}" if isinstance(c, float) else str(c) for c in cells))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
