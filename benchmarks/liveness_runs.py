"""Trainings of the liveness benchmark, and what each says of every recording of a set."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from liveness_plan import FRONT_ENDS, RECIPES, Training
from liveness_sets import Bench, SetPlan
from vivavoce.config import DataConfig, ExperimentConfig
from vivavoce.corpus.manifest import Row, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.experiment import Experiment
from vivavoce.features.config import FeaturesConfig
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.offline import open_store
from vivavoce.features.store import FeatureStore
from vivavoce.files import write_json
from vivavoce.models.joint import ModelConfig
from vivavoce.objectives.correlation import CorrelationConfig
from vivavoce.signal.echo import EchoConfig
from vivavoce.training.config import TrainingConfig
from vivavoce.verifier import LoadedRun, load_run

PAIR_KINDS = (Kind.LIVE, Kind.SWAPPED_MOUTH)
WIDTHS = ("channels", "hidden")
TASKS = ("liveness",)


def file_name(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.]+", "_", text)


@dataclass(frozen=True)
class FrontEnd:
    """One of the front ends that are compared."""

    name: str
    config: FrontEndConfig
    oracle: bool = False

    @classmethod
    def named(cls, name: str) -> "FrontEnd":
        """Make the front end of the plan's table.

        Raises:
            ValidationError: the echo features cannot be set so.
        """
        changes = dict(FRONT_ENDS[name])
        oracle = changes.pop("oracle", False)
        return cls(name, FrontEndConfig(echo=EchoConfig(**changes)), oracle)

    @property
    def folder(self) -> str:
        """A name for its folder of features."""
        return file_name(self.name)

    def reads(self, bench: Bench, rows: Sequence[Row]) -> list[Row]:
        """The recordings as this front end hears them: beside the phone's true motion, where it is told that."""
        rows = bench.with_known_motion(list(rows)) if self.oracle else list(rows)
        if self.config.echo.compensate == "accelerometer" and any(row.meta.accelerometer is None for row in rows):
            raise ValueError("recordings without an accelerometer would be read as of a phone that never moves")
        return rows


def unavailable(training: Training) -> str | None:
    """Why a training cannot be run with the library as it is; None where it can."""
    try:
        FrontEnd.named(training.front_end)
        changes = RECIPES[training.recipe]
        named = {"name": f"xvector-{training.head}", **changes.get("model", {})}
        anywhere = {"train": "train", "validation": "validation"}
        ExperimentConfig.model_validate({**changes, "data": anywhere, "model": named})
    except ValidationError as error:
        return error.errors()[0]["msg"]
    except UserError as error:
        return str(error)
    return None


def features(bench: Bench, rows: Sequence[Row], front_end: FrontEnd, name: str) -> FeatureStore:
    """Features of recordings by one front end; kept."""
    folder = bench.out / "features" / front_end.folder / name
    return open_store(front_end.reads(bench, rows), front_end.config, folder, bench.workers)


def folder_of(bench: Bench, training: Training) -> Path:
    """The run folder of a training; those for comparison that are the same in all but their name share it."""
    if not training.short:
        return bench.out / "runs" / file_name(training.name)
    parts = [training.head, training.trained_on, training.front_end]
    parts += [f"{training.share:g}", f"{training.width:g}", f"seed{training.seed}", f"{epochs(bench, training)}epochs"]
    parts += [training.recipe] if RECIPES[training.recipe] else []
    return bench.out / "runs" / file_name("-".join(parts))


def train(bench: Bench, training: Training) -> LoadedRun:
    """Train, or load what was trained before; one that was stopped goes on."""
    out = folder_of(bench, training)
    if not (out / "calibration.json").exists():
        began = time.monotonic()
        Experiment(_config(bench, training)).train(out, resume=(out / "config.yaml").exists())
        write_json(out / "seconds.json", round(time.monotonic() - began, 1))
    return load_run(out)


def training_features(bench: Bench, trained_on: str, front_end: str) -> Path:
    """The store of a training set and its validation set together; made where it is missing."""
    how = FrontEnd.named(front_end)
    trained, validated = bench.training_sets(trained_on)
    name = f"{trained.name}+validation"
    features(bench, [*bench.rows(trained), *bench.rows(validated)], how, name)
    return bench.out / "features" / how.folder / name


def _config(bench: Bench, training: Training) -> ExperimentConfig:
    """The configuration of one training, its recordings and its features made."""
    front_end = FrontEnd.named(training.front_end)
    trained, validated = bench.training_sets(training.trained_on)
    rows, validation = bench.rows(trained), bench.rows(validated)
    store = training_features(bench, training.trained_on, training.front_end)
    kept = some_speakers(rows, training.share, bench.seed)
    manifests = bench.out / "manifests"
    base = f"{trained.name}-{training.share:g}-{front_end.folder}"
    for name, members in ((base, kept), (f"validation-{front_end.folder}", validation)):
        path = manifests / f"{name}.jsonl.gz"
        if not path.exists():
            write_rows(front_end.reads(bench, members), path)
    changes = RECIPES[training.recipe]
    return ExperimentConfig(
        seed=training.seed,
        data=DataConfig(
            train=manifests / f"{base}.jsonl.gz", validation=manifests / f"validation-{front_end.folder}.jsonl.gz"
        ),
        front_end=front_end.config,
        features=FeaturesConfig(store=store),
        model=model_config(training, bench.size.model | changes.get("model", {})),
        correlation=CorrelationConfig.model_validate(changes.get("correlation", {})),
        training=TrainingConfig.model_validate(
            {
                "tasks": TASKS,
                "epochs": epochs(bench, training),
                "workers": bench.workers,
                **changes.get("training", {}),
            }
        ),
    )


def epochs(bench: Bench, training: Training) -> int:
    """Passes over the data: as many steps on a part of the hours as on all of them."""
    whole = bench.size.short_epochs if training.short else bench.size.epochs
    return max(1, round(whole / training.share))


def some_speakers(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """The recordings of a share of the speakers."""
    names = sorted({row.speaker for row in rows})
    kept = set(np.random.default_rng(seed).permutation(names)[: max(2, round(share * len(names)))].tolist())
    return [row for row in rows if row.speaker in kept]


def model_config(training: Training, changes: dict[str, Any]) -> ModelConfig:
    """The model of a training; ``width`` multiplies the head's channels."""
    named = {"name": f"xvector-{training.head}"}
    head = ModelConfig.model_validate(named).head
    widths = {name: round(getattr(head, name) * training.width) for name in WIDTHS if hasattr(head, name)}
    return ModelConfig.model_validate(
        {**named, **changes, "head": {**changes.get("head", {}), **(widths if training.width != 1 else {})}}
    )


@dataclass(frozen=True)
class Scores:
    """What one run says of each recording of a set."""

    rows: list[Row]
    score: np.ndarray  # (rows,) logit, NaN where the probe gives no answer
    reasons: list[str]  # why there is none, else empty

    @property
    def kinds(self) -> np.ndarray:
        """Kind of each recording, ``(rows,)``."""
        return np.array([row.meta.kind.value for row in self.rows])

    @property
    def speakers(self) -> np.ndarray:
        """Speaker of each recording, ``(rows,)``."""
        return np.array([row.speaker for row in self.rows])

    @property
    def answered(self) -> np.ndarray:
        """Which recordings got an answer, ``(rows,)``."""
        return ~np.isnan(self.score)

    def of(self, kinds: Sequence[Kind], **meta: Any) -> np.ndarray:
        """Recordings of these kinds whose metadata agree, ``(rows,)`` bool."""
        agree = [all(getattr(row.meta, name) == value for name, value in meta.items()) for row in self.rows]
        return np.isin(self.kinds, [kind.value for kind in kinds]) & np.array(agree, dtype=bool)


def scores(bench: Bench, training: Training, plan: SetPlan, whole: bool = False) -> Scores:
    """Score a set with a run: all of it, or live recordings and swapped mouths alone; kept."""
    rows = bench.rows(plan)
    chosen = [row for row in rows if whole or row.meta.kind in PAIR_KINDS]
    return scores_of(bench, training, chosen, plan.name if whole else f"{plan.name}-pair")


def scores_of(bench: Bench, training: Training, rows: list[Row], name: str) -> Scores:
    """Score recordings with a run; kept under this name."""
    path = folder_of(bench, training) / "scores" / f"{name}.npz"
    if not path.exists():
        run = train(bench, training)
        store = features(bench, rows, FrontEnd.named(training.front_end), name)
        path.parent.mkdir(exist_ok=True)
        found = score_recordings(run.model, store, tasks=TASKS).liveness
        np.savez(path, score=found, reason=np.array([quality.reason for quality in store.quality], dtype=str))
    with np.load(path) as kept:
        return Scores(rows, kept["score"], kept["reason"].tolist())


def describe(bench: Bench, training: Training) -> dict[str, Any]:
    """What a training was: its data, size and time."""
    run = train(bench, training)
    trained, _ = bench.training_sets(training.trained_on)
    rows = some_speakers(bench.rows(trained), training.share, bench.seed)
    part = run.calibration.liveness
    seconds = folder_of(bench, training) / "seconds.json"
    return {
        "name": training.name,
        "group": training.group,
        "head": training.head,
        "trained_on": training.trained_on,
        "front_end": training.front_end,
        "seed": training.seed,
        "recordings": len(rows),
        "hours": round(sum(row.duration_s for row in rows) / 3600, 3),
        "speech_hours": round(_speech_s(rows) / 3600, 3),
        "head_parameters": sum(weight.numel() for weight in run.model.head.parameters()),
        "epochs": run.config.training.epochs,
        "seconds": float(seconds.read_text()) if seconds.exists() else None,
        "simulated_validation_eer": None if part is None else part.eer,
    }


def _speech_s(rows: Sequence[Row]) -> float:
    """Seconds of speech that recordings were made of, each utterance counted once."""
    return sum({(row.meta.model_extra or {}).get("source", row.id): row.duration_s for row in rows}.values())


def threshold(bench: Bench, training: Training, seconds: float, attacks: Sequence[Kind], whole: bool) -> float:
    """The score at the equal error rate of the validation sets together: simulated, of kinds that training sees."""
    parts = [scores(bench, training, plan, whole) for plan in bench.validation_sets(seconds)]
    live = np.concatenate([part.score[part.of([Kind.LIVE]) & part.answered] for part in parts])
    attack = np.concatenate([part.score[part.of(attacks) & part.answered] for part in parts])
    return eer(live, attack).threshold
