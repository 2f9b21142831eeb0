"""The main job from end to end: recordings in, a trained verifier and four verdicts out."""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vivavoce.assessment import evaluate
from vivavoce.config import DataConfig, ExperimentConfig
from vivavoce.corpus.folders import read_folders
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.split import split_by_speaker, write_splits
from vivavoce.corpus.table import read_table
from vivavoce.errors import UserError
from vivavoce.evaluation.report.results import Demonstration, EvaluationResult
from vivavoce.experiment import Experiment
from vivavoce.models.joint import ModelConfig
from vivavoce.quickstart_plan import Plan, plan_for
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.voices import make_voices
from vivavoce.training.config import TrainingConfig
from vivavoce.verifier import Verifier, load_run

ENROL = 3


@dataclass(frozen=True)
class QuickstartResult:
    """What the quickstart leaves behind."""

    run: Path
    report: Path
    evaluation: EvaluationResult
    demonstrations: list[Demonstration]


def quickstart(
    out: Path,
    corpus: Path | None = None,
    seed: int = 0,
    workers: int = 2,
    say: Callable[[str], None] = print,
    epochs: int | None = None,
) -> QuickstartResult:
    """Make or read voices, simulate recordings, split, train, evaluate, verify.

    Args:
        out: folder for everything; a second call continues where the first was stopped.
        corpus: real speech: a table, a folder that holds one (`index.csv`), or a folder a speaker; ``None`` makes
            synthetic voices.
        seed: of every draw.
        workers: processes for alignment, simulation and features.
        say: told what happens, a line a stage.
        epochs: passes over the training recordings; ``None``: by how much speech there is.

    Raises:
        UserError: the corpus cannot be used, or is too small: training needs two speakers, validation and test two
            each with four utterances.
    """
    rows = gather(out, corpus, seed)
    plan = plan_for(rows, synthetic=corpus is None, epochs=epochs)
    say(f"{len(rows)} utterances of {len({row.speaker for row in rows})} speakers")
    manifests = simulate_splits(rows, out, plan, seed, workers, say)
    run = out / "run"
    say(f"Training {plan.model['name']}")
    config = ExperimentConfig(
        seed=seed,
        data=DataConfig(train=manifests["train"], validation=manifests["validation"]),
        model=ModelConfig.model_validate(plan.model),
        training=TrainingConfig(**plan.training, workers=workers),
    )
    if not (run / "calibration.json").exists():
        Experiment(config).train(run, resume=(run / "config.yaml").exists())
    say("Verifying recordings of a speaker who was never heard in training")
    test_rows = read_rows(manifests["test"])
    demonstrations = demonstrate(run, test_rows)
    say("Evaluating")
    given = {"--corpus": corpus, "--epochs": epochs, "--seed": seed}
    words = [str(word) for option, value in given.items() if value is not None for word in (option, value)]
    command = shlex.join(["vivavoce", "quickstart", *words])
    result, report = evaluate(load_run(run), manifests["test"], demonstrations=demonstrations, command=command)
    return QuickstartResult(run, report, result, demonstrations)


def gather(out: Path, corpus: Path | None, seed: int) -> list[Row]:
    """Import the corpus, or make voices; keeps the manifest in ``out``."""
    if corpus is None:
        table = out / "voices" / "index.csv"
        if not table.exists():
            table = make_voices(table.parent, seed=seed)
        rows = finish(read_table(table), table.parent).rows
    elif corpus.is_dir() and not (corpus / "index.csv").exists():
        rows = finish(read_folders(corpus), corpus).rows
    else:
        table = corpus / "index.csv" if corpus.is_dir() else corpus
        rows = finish(read_table(table), table.parent).rows
    write_rows(rows, out / "corpus.jsonl.gz")
    return rows


def simulate_splits(
    rows: Sequence[Row], out: Path, plan: Plan, seed: int, workers: int, say: Callable[[str], None]
) -> dict[str, Path]:
    """Split by speaker, then simulate each split with phones and rooms of its own; returns their manifests.

    The test split also has other loudspeakers than the others, and kinds of attack that they do not have.
    """
    splits = split_by_speaker(rows, seed=seed)
    _check_size(splits)
    write_splits(splits, out / "splits")
    cache = AlignmentCache(out / "alignments.jsonl")
    phones = out / "voices" / "phones.jsonl"
    if phones.exists():
        cache.add_file(rows, phones)
    alignments = cache.get_many(rows, workers)
    manifests = {}
    for index, (name, members) in enumerate(splits.items()):
        say(f"Simulating recordings: {name}")
        # Another seed is another pool of phones and rooms: the test split meets none that training has heard.
        config = (plan.test if name == "test" else plan.simulation).model_copy(update={"seed": 3 * seed + index})
        manifests[name] = simulate_dataset(members, out / "recordings" / name, config, alignments, workers=workers)
    return manifests


def _check_size(splits: Mapping[str, Sequence[Row]]) -> None:
    """Refuse a corpus too small before anything is made of it."""
    for name, needed, utterances in (("train", 2, 1), ("validation", 2, ENROL + 1), ("test", 2, ENROL + 1)):
        counts = Counter(row.speaker for row in splits[name])
        enough = sum(count >= utterances for count in counts.values())
        if enough < needed:
            raise UserError(
                f"The corpus is too small: its {name} split has {enough} speakers with {utterances} or more utterances "
                f"and needs {needed}; give about ten speakers or more."
            )


def demonstrate(run: Path, rows: Sequence[Row]) -> list[Demonstration]:
    """Enrol one unseen speaker and judge four recordings: live, replayed, another person's, without a probe."""
    enrolment, tests = choose_demonstration(rows)
    verifier = Verifier.load(run).enrol([row.path for row in enrolment])
    demonstrations = []
    for truth, expected, row in tests:
        verdict = verifier.verify(row.path, probe_hz=row.meta.probe_hz)
        demonstrations.append(
            Demonstration(
                file=row.path.name,
                truth=truth,
                verdict=verdict.verdict.value,
                expected=expected,
                speaker_score=verdict.speaker_score,
                liveness_score=verdict.liveness_score,
                reason=verdict.reason,
            )
        )
    return demonstrations


def choose_demonstration(rows: Sequence[Row]) -> tuple[list[Row], list[tuple[str, str, Row]]]:
    """Choose the speaker and the recordings by their conditions alone (phone nearest to 10 cm, on a stand first).

    Raises:
        UserError: no speaker of the split has all that is needed.
    """

    def of(kind: Kind, speaker: str | None = None, other_than: str | None = None) -> list[Row]:
        found = [r for r in rows if r.meta.kind is kind and speaker in (None, r.speaker) and r.speaker != other_than]
        return sorted(found, key=_inconvenience)

    for speaker in sorted(
        {row.speaker for row in rows}, key=lambda name: min(map(_inconvenience, of(Kind.LIVE, name)))
    ):
        live = of(Kind.LIVE, speaker)
        replayed, silent = of(Kind.REPLAY_STAND, speaker), of(Kind.PROBE_ABSENT, speaker)
        others = of(Kind.LIVE, other_than=speaker)
        if len(live) > ENROL and replayed and silent and others:
            test, enrolment = live[0], sorted(live[1:], key=lambda row: row.meta.session == live[0].meta.session)
            return enrolment[:ENROL], [
                ("target", "accept", test),
                (Kind.REPLAY_STAND.value, "not_live", replayed[0]),
                ("nontarget", "not_the_speaker", others[0]),
                (Kind.PROBE_ABSENT.value, "abstain", silent[0]),
            ]
    raise UserError(
        f"No speaker of the test split has {ENROL + 1} live recordings, a replay and one without a probe; give a "
        "corpus with more utterances a speaker."
    )


def _inconvenience(row: Row) -> tuple[bool, float, str]:
    """Order by how far a recording is from how the product is meant to be used."""
    return row.meta.posture != "stand", abs((row.meta.distance_cm or 100.0) - 10.0), row.id
