import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vivavoce.training.diagnosis.states import HELD, Curves, State, _judge_once, judge

from .invented import FLAT, HIGHER, LOWER, noisy

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "diagnosis_curves.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("diagnosis_curves", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def state(train: np.ndarray, validation: np.ndarray, **more) -> State:
    return judge(Curves(noisy(train, 0), noisy(validation, 1), **more)).state


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [
        (LOWER, LOWER, State.LEARNING),
        (LOWER, FLAT, State.OVERFITTING),
        (LOWER, HIGHER, State.OVERFITTING),
        (FLAT, LOWER, State.DATA),
        (HIGHER, LOWER, State.DATA),
        (FLAT, FLAT, State.BOTTLENECK),
        (HIGHER, HIGHER, State.STRUCTURE),
        (HIGHER, FLAT, State.STRUCTURE),
        (FLAT, HIGHER, State.STRUCTURE),
    ],
)
def test_each_pair_of_courses_has_its_state(train, validation, expected):
    assert state(train, validation) is expected


def test_levelling_off_is_healthy_with_the_schedule_and_a_bottleneck_before_it():
    time = np.arange(40) / 40
    curve = 0.3 + 0.7 * np.exp(-12 * time)
    cosine = 1 + np.cos(np.pi * (np.arange(40) + 1) / 40)
    assert state(curve, curve, rate=cosine) is State.FINISHED
    assert state(curve, curve, rate=np.ones(40)) is State.BOTTLENECK
    assert state(curve, curve, rate=0.5 + cosine) is State.TOO_EARLY  # the rate still comes down
    assert state(np.ones(40), np.ones(40), rate=cosine) is State.BOTTLENECK  # nothing was ever learned


@pytest.mark.parametrize(
    "rate",
    [
        np.repeat([1.0, 0.1], 20),  # a step, or the diagnosis' own lowering
        np.tile(1 + np.cos(np.pi * (np.arange(10) + 1) / 10), 4),  # restarts
        np.repeat([1.0, 0.3, 0.09, 0.027], 10),  # a plateau's schedule
    ],
)
def test_a_rate_that_is_low_in_the_midst_of_a_run_is_no_end(rate):
    curve = 0.3 + 0.7 * np.exp(-12 * np.arange(40) / 40)
    assert state(curve, curve, rate=rate, share_done=0.5) is not State.FINISHED
    assert state(curve, curve, rate=rate, share_done=1.0) is State.FINISHED
    assert state(curve, curve, rate=rate) is State.FINISHED  # the plan is not known


def test_what_is_learned_in_the_first_epoch_counts_against_chance():
    rate = np.concatenate([np.ones(10), np.linspace(1, 0, 20)])
    assert state(FLAT * 0.2, FLAT * 0.2, rate=rate) is State.BOTTLENECK
    assert state(FLAT * 0.2, FLAT * 0.2, rate=rate, chance=(0.69, 0.69)) is State.FINISHED


def test_a_training_task_that_hardens_is_not_held_against_the_run():
    rises_first = np.concatenate([np.linspace(0.5, 1.2, 12), np.linspace(1.2, 0.4, 18)])
    harder = Curves(noisy(rises_first, 0), noisy(LOWER, 1), hardening=12)
    assert not any(judge(harder.before(last)).state.is_alarm for last in range(30))
    assert judge(Curves(harder.train, harder.validation).before(18)).state.is_alarm


def test_validation_that_was_far_better_once_has_been_overfitted():
    turned = np.concatenate([np.linspace(1, 0.3, 8), np.linspace(0.3, 0.8, 8), np.full(14, 0.8)])
    ended = np.concatenate([np.linspace(1, 0.3, 8), np.full(22, 0.3)])
    rate = np.linspace(1, 0, 30)
    settled = np.concatenate([LOWER[:15], np.full(15, LOWER[15])])
    assert state(settled, turned, rate=rate, share_done=1.0) is State.OVERFITTING
    assert state(settled, ended, rate=rate, share_done=1.0) is State.FINISHED


def test_the_end_of_a_run_that_learned_is_an_answer_where_noise_hides_the_rest():
    rate = np.linspace(1, 0, 30)
    hidden = noisy(LOWER, 5, 0.9)
    assert judge(Curves(LOWER, hidden, rate=rate, share_done=0.9)).state is State.TOO_EARLY
    assert judge(Curves(LOWER, hidden, rate=rate, share_done=1.0)).state is State.FINISHED


def test_an_alarm_must_have_held():
    turned = noisy(LOWER, 1)
    turned[-12:] *= np.linspace(1, 2.5, 12)
    curves = Curves(noisy(LOWER, 0), turned)
    once = [_judge_once(curves.before(last)).state for last in range(12, -1, -1)]
    held = [judge(curves.before(last)).state for last in range(12, -1, -1)]
    assert once[0] is held[0] is State.LEARNING
    assert once[-1] is held[-1] is State.OVERFITTING
    first = once.index(State.OVERFITTING)
    assert held[first : first + HELD - 1] == [State.TOO_EARLY] * (HELD - 1)
    assert held[first + HELD - 1] is State.OVERFITTING


def test_invented_curves_are_told_apart(benchmark):
    """The benchmark in small; what it asks of 3000 pairs this asks of 300."""
    result = benchmark.measure(300, seed=50_000)
    assert result["clear"]["right"] >= 0.95
    assert result["all"]["false alarms"] <= 0.02
    assert result["all"]["wrong"] <= 0.03


def test_healthy_runs_may_be_asked_at_every_epoch(benchmark):
    result = benchmark.live(6, seed=50_000)
    assert result["alarms an epoch"] <= 0.02
