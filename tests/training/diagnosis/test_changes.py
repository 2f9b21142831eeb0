"""What is advised begins with the run's own values, goes forwards, and is taken by the run's config."""

from typing import Any

import numpy as np
import pytest

from vivavoce.config import ExperimentConfig
from vivavoce.settings import load_settings
from vivavoce.training.diagnosis.changes import (
    accepted,
    clipping,
    decay,
    half_batch,
    masking,
    rate_times,
    stopping,
    warm_up,
)
from vivavoce.training.diagnosis.diagnosis import diagnose
from vivavoce.training.diagnosis.record import Record

from .invented import FLAT, LOWER, lines

DATA = ("data.train=a", "data.validation=b")


def config(*sets: str) -> dict[str, Any]:
    return load_settings(ExperimentConfig, None, (*DATA, *sets)).model_dump(mode="json")


def record(*sets: str, epochs: int = 30) -> Record:
    return Record.of(lines()[: 2 * epochs], config(*sets))


@pytest.mark.parametrize(
    ("sampler", "sets"),
    [
        ("{type: speaker_balanced}", ("training.speaker_batch=32",)),
        ("{type: random}", ("training.speaker_batch=32",)),
        (
            "{type: speaker_balanced, speakers: 16, recordings: 4}",
            ("training.speaker_batch=32", "training.speaker_sampler.speakers=8"),
        ),
        ("{type: speaker_balanced, speakers: 1, recordings: 64}", ()),
        ("{type: speaker_balanced, recordings: 4}", ("training.speaker_batch=32",)),
        ("{type: speaker_balanced, recordings: 32}", ()),  # one speaker alone would be left in a batch
        ("{type: speaker_balanced, recordings: 64}", ()),
        ("{type: speaker_balanced, speakers: 64}", ()),
        ("{type: speaker_balanced, speakers: 32}", ("training.speaker_batch=32",)),
        ("{type: length_buckets, inner: {type: speaker_balanced, speakers: 64, recordings: 1}}", ()),
    ],
)
def test_a_batch_is_halved_as_far_as_its_sampler_can_fill_it(sampler, sets):
    found = half_batch(record(f"training.speaker_sampler={sampler}"), "speaker")
    assert found == sets
    assert accepted(record(f"training.speaker_sampler={sampler}"), found) == sets
    after = load_settings(ExperimentConfig, None, (*DATA, f"training.speaker_sampler={sampler}", *found)).training
    if sets and after.speaker_sampler.type == "speaker_balanced":
        after.speaker_sampler._recordings(after.speaker_batch, 100)  # which refuses what does not make a batch


@pytest.mark.parametrize(("batch", "sets"), [(7, ()), (8, ("training.liveness_batch=4",))])
def test_a_small_batch_is_left(batch, sets):
    assert half_batch(record(f"training.liveness_batch={batch}"), "liveness") == sets


@pytest.mark.parametrize(
    ("change", "own", "sets"),
    [
        (lambda r: masking(r, "liveness"), "training.mask_mels=60", ()),
        (lambda r: masking(r, "liveness"), "training.mask_mels=30", ("training.mask_mels=40",)),
        (lambda r: masking(r, "liveness"), "training.mask_mels=0", ("training.mask_mels=10",)),
        (
            lambda r: masking(r, "speaker"),
            "training.mask_frames=20",
            ("training.speaker_mask_mels=20", "training.mask_frames=40"),
        ),
        (lambda r: masking(r, "joint"), "training.mask_frames=20", ()),
        (stopping, "training.early_stopping.patience=3", ()),
        (stopping, "training.early_stopping=null", ("training.early_stopping.patience=5",)),
        (clipping, "training.clip_norm=0.5", ()),
        (clipping, "training.clip_norm=5", ("training.clip_norm=1.0",)),
        (decay, "training.weight_decay=0", ("training.weight_decay=0.05",)),
        (warm_up, "training.schedule.warmup_share=0.2", ()),
        (warm_up, "training.schedule.warmup_share=0.0", ("training.schedule.warmup_share=0.15",)),
        (
            warm_up,
            "training.schedule.warmup_steps=100",
            ("training.schedule.warmup_steps=null", "training.schedule.warmup_share=0.15"),
        ),
    ],
)
def test_no_value_goes_backwards(change, own, sets):
    found = change(record(own))
    assert found == sets
    load_settings(ExperimentConfig, None, (*DATA, own, *found))


def test_a_long_warm_up_in_steps_is_left():
    given = record("training.schedule.warmup_steps=1000")
    for line in given.train:
        line["lr"] = min(1.0, line["epoch"] / 10)  # ten of thirty epochs
    assert warm_up(given) == ()


def test_what_the_config_refuses_or_has_already_is_left_out():
    assert accepted(record(), ("training.learning_rate=-1.0", "training.clip_norm=1.0")) == ("training.clip_norm=1.0",)
    assert accepted(record("training.clip_norm=1.0"), ("training.clip_norm=1.0",)) == ()
    both = ("multitask.type=scale_matched", "correlation.weight=1.0")  # the first alone would be refused
    assert accepted(record("correlation.weight=1e4"), both) == both
    assert accepted(Record.of(lines(), {"training": {"epochs": 3}}), ("a=1",)) == ("a=1",)  # not known as a whole


@pytest.mark.parametrize("train", [LOWER, FLAT])
@pytest.mark.parametrize(
    "own",
    [
        ("training.speaker_sampler={type: speaker_balanced, speakers: 64}", "training.mask_mels=60"),
        ("speaker.type=ge2e", "training.speaker_sampler.recordings=4", "training.speed_factors=[1.0]"),
        ("multitask.type=uncertainty", "training.early_stopping.patience=3", "training.schedule.warmup_steps=10"),
        ("training.tasks=[speaker]", "training.schedule={type: one_cycle}"),
    ],
)
def test_whatever_is_advised_can_be_set_on_the_runs_own_config(train, own):
    figures = {
        "update_ratio/head": 0.9,
        "dead/trunk": 0.9,
        "input_mean/voice": 30.0,
        "input_std/voice": 1.0,
        "update_ratio/trunk": 1e-2,
    }
    given = lines(train, np.ones(30), **figures)
    found = diagnose(given, config(*own))
    for one in (*found.tasks, *found.causes):
        load_settings(ExperimentConfig, None, (*DATA, *own, *one.advice.sets))
    assert any(one.advice.sets for one in (*found.tasks, *found.causes))


def test_a_rate_is_multiplied():
    assert rate_times(record("training.learning_rate=1e-2"), 0.3) == "training.learning_rate=3.0e-03"
    assert rate_times(record("training.learning_rate=1e-3"), 10) == "training.learning_rate=2.0e-03"
