import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from vivavoce.errors import UserError
from vivavoce.training.config import TrainingConfig
from vivavoce.training.schedules import CosineConfig, Schedule, ScheduleConfig
from vivavoce.training.schedules.expression import Expression

ADAPTER = TypeAdapter(ScheduleConfig)
KINDS = [
    {"type": "constant"},
    {"type": "step", "every": 2, "gamma": 0.5},
    {"type": "multistep", "milestones": [1, 3], "gamma": 0.3},
    {"type": "exponential", "gamma": 0.9},
    {"type": "cosine", "end": 0.01},
    {"type": "cosine_restarts", "first": 1, "growth": 2},
    {"type": "one_cycle", "rise": 0.4},
    {"type": "plateau", "patience": 0, "gamma": 0.5},
    {"type": "lambda", "expression": "0.9 ** epoch * (1 if step < 3 else 0.5)"},
]
NAMES = [kind["type"] for kind in KINDS]
FINITE = st.floats(-1e3, 1e3)


def optimiser(*rates: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": rate} for rate in rates]
    return torch.optim.AdamW(groups, lr=1.0)


def rates(found: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in found.param_groups]


def run(schedule: Schedule, steps: range, epoch: int, costs: list[float]) -> list[float]:
    """The factors of the coming ``steps``, a validation behind each epoch."""
    found = []
    for step in steps:
        found.append(schedule.factor)
        schedule.step()
        if (step + 1) % epoch == 0:
            schedule.end_epoch(costs[(step + 1) // epoch % len(costs)])
    return found


@given(
    kind=st.sampled_from(KINDS),
    warmup=st.one_of(st.none(), st.integers(0, 7)),
    epochs=st.integers(2, 5),
    per_epoch=st.integers(5, 9),
    data=st.data(),
)
def test_a_schedule_restored_at_any_step_goes_on_to_the_same_rates_bit_by_bit(kind, warmup, epochs, per_epoch, data):
    config, total = ADAPTER.validate_python({**kind, "warmup_steps": warmup}), epochs * per_epoch
    costs = data.draw(st.lists(FINITE, min_size=1, max_size=epochs))
    stop = data.draw(st.integers(0, total))
    whole, stopped = optimiser(1e-3, 1e-5), optimiser(1e-3, 1e-5)
    first, second = (config.build(each, total, per_epoch) for each in (whole, stopped))
    for schedule in (first, second):
        run(schedule, range(stop), per_epoch, costs)
    if lower := data.draw(st.one_of(st.none(), st.floats(0.1, 1))):
        first.lower(lower)
        second.lower(lower)
    # As a checkpoint does: the optimiser's own state, and plain numbers.
    fresh = optimiser(1e-3, 1e-5)
    fresh.load_state_dict(stopped.state_dict())
    resumed = config.build(fresh, total, per_epoch)
    resumed.load_state_dict(json.loads(json.dumps(second.state_dict())))
    assert rates(fresh) == rates(whole)
    rest = range(stop, total + 2)
    assert run(resumed, rest, per_epoch, costs) == run(first, rest, per_epoch, costs)
    assert rates(fresh) == rates(whole)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_groups_keep_their_proportion_and_the_first_rate_stands_at_once(kind):
    groups = optimiser(1e-3, 2e-4)
    schedule = ADAPTER.validate_python({**kind, "warmup_steps": 4}).build(groups, 40, 10)
    assert rates(groups)[0] < 1e-3 / 3
    for _ in range(41):
        assert rates(groups) == [1e-3 * schedule.factor, 2e-4 * schedule.factor]
        schedule.step()


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_warm_up_rises_linearly_to_where_the_schedule_begins(kind):
    config = ADAPTER.validate_python({**kind, "warmup_steps": 4, "warmup_share": 0.9})
    factors = config.factors(40, 10)
    assert len(factors) == 40
    assert factors[:4] == pytest.approx([factors[0] * n for n in (1, 2, 3, 4)]) or kind["type"] == "lambda"
    assert ADAPTER.validate_python({**kind, "warmup_share": 0.1}).factors(40, 10) == factors
    without = ADAPTER.validate_python({**kind, "warmup_share": 0}).factors(40, 10)
    assert factors[3] == without[0] or kind["type"] == "lambda"


def test_the_default_is_a_warm_up_of_eight_hundredths_and_a_half_cosine_to_zero():
    assert isinstance(TrainingConfig().schedule, CosineConfig)
    factors = TrainingConfig().schedule.factors(1000, 100)
    expected = [(n + 1) / 80 if n < 80 else 0.5 * (1 + math.cos(math.pi * (n - 80) / 920)) for n in range(1000)]
    assert factors == pytest.approx(expected, rel=1e-9)


def test_each_kind_has_its_published_form():
    def factors(total: int = 40, per_epoch: int = 10, **kind: object) -> list[float]:
        return ADAPTER.validate_python({"warmup_share": 0, **kind}).factors(total, per_epoch)

    assert factors(type="constant") == [1.0] * 40
    assert factors(type="step", every=2, gamma=0.5)[::10] == [1, 1, 0.5, 0.5]
    assert factors(type="multistep", milestones=[1, 3], gamma=0.5)[::10] == [1, 0.5, 0.5, 0.25]
    assert factors(type="exponential", gamma=0.5)[9:41:10] == [1, 0.5, 0.25, 0.125]
    restarts = factors(type="cosine_restarts", first=1, growth=2)
    assert [n for n in range(1, 40) if restarts[n] > restarts[n - 1]] == [10, 30]
    assert restarts[10] == restarts[30] == 1
    assert restarts[20] == pytest.approx(0.5)
    cycle = factors(type="one_cycle", rise=0.25, start=0.1, end=0.001)
    assert cycle[0] == pytest.approx(0.1)
    assert (max(cycle), cycle[-1]) == (1, pytest.approx(0.001))
    assert cycle.index(1.0) == 9
    assert factors(type="lambda", expression="1 - share")[30] == 0.25
    assert factors(type="lambda", expression="1 - share", warmup_steps=4)[1] == pytest.approx(0.5 * (1 - 1 / 40))


def test_a_plateau_waits_for_the_validation_and_not_for_warm_up():
    groups = optimiser(1.0)
    config = ADAPTER.validate_python({"type": "plateau", "patience": 1, "gamma": 0.5, "warmup_steps": 15, "end": 0.3})
    schedule = config.build(groups, 1000, 10)
    run(schedule, range(10), 10, [0.0])  # one epoch within warm-up, at a cost that no other reaches
    found = []
    for cost in (3.0, 2.0, 2.0, 2.0, 1.0, float("nan"), 1.0, 1.0, 1.0, 1.0):
        run(schedule, range(10), 11, [0.0])
        schedule.end_epoch(cost)
        found.append(schedule.factor)
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3]
    steady = ADAPTER.validate_python({"type": "cosine"}).build(optimiser(1.0), 100, 10)
    before = steady.factor
    steady.end_epoch(1.0)
    assert steady.factor == before


def test_a_lowered_rate_stays_lowered():
    config = ADAPTER.validate_python({"type": "cosine"})
    plain, lowered = (config.build(optimiser(1.0), 50, 10) for _ in range(2))
    for step in range(50):
        if step in (10, 20):
            lowered.lower(0.5)
        assert lowered.factor == plain.factor * (1 if step < 10 else 0.5 if step < 20 else 0.25)
        plain.step()
        lowered.step()
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite number above 0"):
            lowered.lower(bad)


def test_a_rate_in_a_tensor_is_changed_in_its_place():
    groups = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], lr=torch.tensor(1e-3))
    rate = groups.param_groups[0]["lr"]
    schedule = ADAPTER.validate_python({"type": "step", "every": 1, "warmup_share": 0}).build(groups, 20, 2)
    schedule.step()
    schedule.step()
    assert groups.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(1e-4)


def test_steps_beyond_the_planned_ones_keep_the_last_rate():
    for kind in KINDS:
        schedule = ADAPTER.validate_python(kind).build(optimiser(1.0), 40, 10)
        last = run(schedule, range(40), 41, [1.0])[-1]
        assert run(schedule, range(5), 41, [1.0]) == pytest.approx([last] * 5), kind


@pytest.mark.parametrize(
    ("kind", "total", "parts"),
    [
        ({"type": "constant", "warmup_steps": 40}, 40, ("warmup_steps is 40", "40 steps")),
        ({"type": "one_cycle"}, 3, ("one_cycle", "rise")),
        ({"type": "lambda", "expression": "1 - step / 20"}, 40, ("step 21", "-0.05")),
        ({"type": "lambda", "expression": "1 / (step - 7)**2"}, 40, ("step 7", "cannot be computed")),
        ({"type": "lambda", "expression": "9**9**9"}, 40, ("step 0", "cannot be computed")),
        ({"type": "lambda", "expression": "exp(step) * 1e308"}, 40, ("step 1", "inf")),
        ({"type": "lambda", "expression": "(-1) ** 0.5"}, 40, ("step 0", "cannot be computed")),
    ],
)
def test_what_cannot_be_is_refused_before_training(kind, total, parts):
    with pytest.raises(UserError) as refused:
        ADAPTER.validate_python(kind).build(optimiser(1.0), total, 10)
    assert all(part in str(refused.value) for part in parts)


def test_milestones_must_rise():
    for milestones in ([], [0, 2], [3, 3], [4, 2]):
        with pytest.raises(ValueError, match="milestones"):
            ADAPTER.validate_python({"type": "multistep", "milestones": milestones})


@given(a=FINITE, b=FINITE, c=FINITE)
def test_an_expression_is_what_python_makes_of_it(a, b, c):
    for text in (
        "step + epoch * total - share",
        "-step if epoch < total else +share",
        "max(step, epoch, total) - min(share, 2)",
        "abs(step) // 3 + floor(epoch) % 7",
        "sqrt(abs(step)) * cos(pi * epoch) + sin(e) * tanh(total)",
        "log(abs(step) + 1) * (epoch >= total) + (epoch == total) - (step != 2) + exp(share) ** 2",
    ):
        names = {"step": a, "epoch": b, "total": c, "share": 0.5}
        allowed = {"max": max, "min": min, "abs": abs, **vars(math)}
        assert Expression(text)(**names) == eval(text, {"__builtins__": {}, **allowed}, names)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("__import__('os').system('true')", "__import__('os')"),
        ("step.real", "step.real"),
        ("(lambda: 1)()", "lambda"),
        ("[step][0]", "[step]"),
        ("'a'", "'a'"),
        ("True", "True"),
        ("1j", "1j"),
        ("f(step)", "f(step)"),
        ("steps", "steps is unknown"),
        ("cos(step, epoch)", "cos takes one value"),
        ("min(step)", "min takes two or more"),
        ("max(*[1, 2])", "*[1, 2]"),
        ("log(step, base=2)", "base=2"),
        ("1 < step < 3", "1 < step < 3"),
        ("step and 1", "step and 1"),
        ("(step := 1)", "step := 1"),
        ("step @ 2", "step @ 2"),
        ("~1", "~1"),
        ("1 if step", "not an expression"),
        ("", "not an expression"),
        ("1; 2", "not an expression"),
        ("1\0", "not an expression"),
        ("-" * 200 + "1", "nested"),
        ("9" * 399, "too large"),
        ("(" * 300, "not an expression"),
    ],
)
def test_an_expression_is_refused_with_the_part_that_is_at_fault(text, part):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        Expression(text)
    assert part in str(refused.value)


@given(st.text(alphabet="steponchal0189 +-*/%().,<>=if'[]{}_:", max_size=60))
def test_whatever_is_written_it_is_refused_in_words_or_gives_a_number(text):
    try:
        value = Expression(text)(step=3, epoch=1, total=9, share=1 / 3)
    except (ValueError, ArithmeticError):
        return
    assert isinstance(value, float)


def test_the_best_epoch_is_not_chosen_by_a_task_that_is_not_trained():
    for metric, tasks in (("a_dcf", ["speaker"]), ("speaker_eer", ["liveness"]), ("liveness_eer", ["speaker"])):
        with pytest.raises(UserError, match=rf"training\.best_by is {metric}"):
            TrainingConfig.model_validate({"best_by": metric, "tasks": tasks})
    assert TrainingConfig.model_validate({"best_by": "loss", "tasks": ["speaker"]}).best_by == "loss"
