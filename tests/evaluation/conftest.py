from collections.abc import Callable

import numpy as np
import pytest

from vivavoce.evaluation.report.echoes import EchoView
from vivavoce.evaluation.report.results import Demonstration, EvaluationResult
from vivavoce.evaluation.report.summaries import (
    collect_scores,
    summarise_conditions,
    summarise_data,
    summarise_liveness,
    summarise_speaker,
    summarise_verdicts,
)
from vivavoce.models.joint import JointModel

from ..synthetic import small_model

# Mean liveness score of each kind, and its scatter; live recordings lie at +2.
SPECIES = {
    "replay_stand": -4.0,
    "replay_handheld": -1.2,
    "swapped_mouth": -0.4,
    "shifted": -0.3,
    "recorded_ultrasound": -0.2,
}
EVERY_SPECIES = SPECIES | {"replay_moving": -1.6, "mouthing": 0.2, "tts": -3.1, "spliced": -0.6}

SHOWN = ("file", "truth", "verdict", "expected", "speaker_score", "liveness_score", "reason")
MOVES, STILL = "The voice is the user's and the mouth moves with it.", "The echo does not move with the words."
NO_TONE = "No probe tone was found between 17 and 22 kHz."
DEMONSTRATIONS = [
    ("quickstart/test/s21_live_03.wav", "target", "accept", "accept", 0.71, 2.4, MOVES),
    ("quickstart/test/s21_replay_stand_03.wav", "replay_stand", "not_live", "not_live", 0.69, -4.1, STILL),
    ("quickstart/test/s14_live_01.wav", "nontarget", "accept", "not_the_speaker", 0.41, 1.9, ""),
    ("quickstart/test/s21_probe_absent_00.wav", "probe_absent", "abstain", "abstain", 0.7, None, NO_TONE),
]


def make_result(seed: int = 7, species: tuple[str, ...] = tuple(SPECIES), n_speakers: int = 20) -> EvaluationResult:
    """A result as an evaluation of a few hundred recordings gives it, through the real summaries."""
    rng = np.random.default_rng(seed)
    names = np.array([f"speaker{i:02d}" for i in range(n_speakers)])
    each = 12
    targets = np.repeat(names, each)
    own, other = np.repeat(names, 5 * each), rng.choice(names, 5 * each * n_speakers)
    own, other = own[own != other], other[own != other]
    speaker_scores = np.concatenate([rng.normal(0.62, 0.12, targets.size), rng.normal(0.16, 0.12, own.size)])
    labels = np.array(["target"] * targets.size + ["nontarget"] * own.size)
    trial_speakers, test_speakers = np.concatenate([targets, own]), np.concatenate([targets, other])

    kinds = np.concatenate([np.repeat("live", n_speakers * each)] + [np.repeat(s, n_speakers * 4) for s in species])
    who = np.concatenate([np.repeat(names, each)] + [np.repeat(names, 4) for _ in species])
    means = {"live": 2.0, **EVERY_SPECIES}
    handheld = (rng.random(kinds.size) < 0.5) & (kinds != "replay_stand") | (kinds == "replay_handheld")
    liveness = rng.normal([means[k] for k in kinds], 0.8 + 0.5 * handheld)
    liveness[rng.random(kinds.size) < 0.02] = np.nan
    posture = np.where(handheld, "handheld", "stand").tolist()
    distance = rng.choice([10.0, 20.0], kinds.size).tolist()

    threshold = 0.7
    rows, pooled = summarise_liveness(liveness, kinds, who, threshold) if species else ([], None)
    truths = np.concatenate([np.where(kinds == "live", "target", kinds), np.repeat("nontarget", 240)])
    truths = np.concatenate([truths, np.repeat("probe_absent", 40)])
    answered = np.select([np.isnan(liveness), liveness < threshold], ["abstain", "not_live"], "accept")
    answered = np.where((answered == "accept") & (rng.random(kinds.size) < 0.03), "not_the_speaker", answered)
    strangers = rng.choice(["not_the_speaker", "not_live", "accept"], 240, p=[0.85, 0.11, 0.04])
    verdicts = np.concatenate([answered, strangers, np.repeat("abstain", 40)])
    return EvaluationResult(
        run_id="ecapa-lstm-2f9c",
        date="2026-03-14T15:09:26+00:00",
        command="vivavoce evaluate runs/ecapa-lstm data/test.jsonl.gz --trials data/trials.csv --json",
        data_name="test.jsonl.gz",
        simulated=True,
        enrolment=3,
        data=summarise_data(kinds, who, np.full(kinds.size, 3.1)),
        speaker=summarise_speaker(speaker_scores, labels, trial_speakers, test_speakers, 0.39),
        liveness=rows,
        liveness_pooled=pooled,
        conditions=summarise_conditions(liveness, kinds, who, posture, distance, threshold) if species else [],
        verdicts=summarise_verdicts(truths, verdicts),
        demonstrations=[Demonstration(**dict(zip(SHOWN, values, strict=True))) for values in DEMONSTRATIONS],
        config={
            "seed": 0,
            "model": {"name": "ecapa-lstm", "channels": 256, "embedding": 192},
            "optimizer": {"lr": 0.001, "weight_decay": 1e-4},
            "data": {"train": "data/train.jsonl.gz", "batch": 64, "crop_s": 3.0},
        },
        versions={"vivavoce": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.9"},
        hashes={
            "manifest": "sha256:5f2a9c01d4e7",
            "checkpoint": "sha256:a1b2c3d4e5f6",
            "trials": "sha256:0099aa77bb55",
        },
        timings_s={"features": 41.2, "scoring": 12.9, "intervals": 2.3},
        scores=collect_scores(speaker_scores, labels, liveness, kinds),
    )


def make_metrics(epochs: int = 12) -> list[dict[str, object]]:
    """Lines as `metrics.jsonl` has them."""
    lines: list[dict[str, object]] = []
    for epoch in range(1, epochs + 1):
        for split, floor in (("train", 0.3), ("validation", 0.55)):
            fall = np.exp(-epoch / 4)
            line = {"epoch": epoch, "split": split, "loss": floor + 3.4 * fall, "loss_speaker": floor + 2.8 * fall}
            line |= {"loss_liveness": 0.2 + 0.5 * fall, "lr": 1e-3 * (1 + np.cos(np.pi * epoch / epochs)) / 2}
            lines.append(line)
    return lines


def make_views(seed: int = 1) -> tuple[EchoView, EchoView]:
    """A live recording whose echo moves with the voice, and one whose echo stands still."""
    rng = np.random.default_rng(seed)
    times = np.asarray(np.arange(300) * 0.01 + 0.005, np.float64)
    doppler, mels = np.linspace(-70, 70, 57), np.linspace(0, 8000, 80)
    envelope = np.clip(np.sin(2 * np.pi * 3.1 * times) * np.sin(2 * np.pi * 0.4 * times), 0, None)
    voice = -70 + 55 * envelope * np.exp(-mels[:, None] / 4000) + rng.normal(0, 2, (80, 300))
    speed = 18 * np.gradient(envelope, times) / 10
    ridge = -60 + 32 * np.exp(-(((doppler[:, None] - speed) / 7) ** 2)) * (envelope > 0)
    noise = rng.normal(0, 2, (57, 300))
    live = EchoView("Live", times, doppler, ridge + noise, times, voice, mels)
    return live, EchoView("Replayed on a stand", times, doppler, -60 + noise, times, voice, mels)


@pytest.fixture
def build_result() -> Callable[..., EvaluationResult]:
    return make_result


@pytest.fixture(scope="session")
def result() -> EvaluationResult:
    return make_result()


@pytest.fixture(scope="session")
def metrics() -> list[dict[str, object]]:
    return make_metrics()


@pytest.fixture(scope="session")
def views() -> tuple[EchoView, EchoView]:
    return make_views()


@pytest.fixture(scope="session")
def model() -> JointModel:
    return small_model()
