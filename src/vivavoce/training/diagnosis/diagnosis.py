"""The diagnosis of a run: a state with evidence for each task, causes, advice, and what may be done by itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from vivavoce.training.diagnosis.advice import Advice, of_state
from vivavoce.training.diagnosis.cause import Cause
from vivavoce.training.diagnosis.causes import find_causes
from vivavoce.training.diagnosis.changes import accepted
from vivavoce.training.diagnosis.gradients import gradient_evidence
from vivavoce.training.diagnosis.kinds import kind_evidence
from vivavoce.training.diagnosis.rates import OVERSHOOTS, largest_step, overshoot
from vivavoce.training.diagnosis.record import Facts, Line, Record
from vivavoce.training.diagnosis.states import Curves, Judgement, State, judge
from vivavoce.training.diagnosis.trend import Direction, Trend, estimate_trend

# Epochs in a row that must have said the same before something is done by itself: this share of the run, and so many.
HELD_SHARE, HELD = 1 / 6, 4
LOWER_BY = 0.3
# Error rates on validation that are better than unseen speakers give; they may have been trained on.
TOO_GOOD = 0.002


@dataclass(frozen=True)
class Action:
    """What training may do by itself where its user allows it.

    Attributes:
        kind: ``none``, ``lower_rate`` (by ``factor``), ``stop``, or ``focus`` (on ``task``).
        reason: one sentence.
        factor: that the rate is multiplied with.
        task: to give more weight.
    """

    kind: Literal["none", "lower_rate", "stop", "focus"] = "none"
    reason: str = ""
    factor: float | None = None
    task: str | None = None


@dataclass(frozen=True)
class TaskDiagnosis:
    """State of one task, or of the joint loss (``joint``)."""

    task: str
    state: State
    confidence: float
    evidence: tuple[str, ...]
    advice: Advice


@dataclass(frozen=True)
class Diagnosis:
    """What a run's metrics say.

    Attributes:
        epochs: that were looked at.
        headline: one line.
        tasks: one state each.
        causes: specific ones, those first that explain the others.
        action: what training may do by itself.
        suspicious: the data should be audited.
        checked: what of the data was looked at.
    """

    epochs: int
    headline: str
    tasks: tuple[TaskDiagnosis, ...]
    causes: tuple[Cause, ...]
    action: Action
    suspicious: bool
    checked: str = ""

    @property
    def cause(self) -> str:
        """Name of the first cause; ``none`` where there is none."""
        return self.causes[0].name if self.causes else "none"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**asdict(self), "cause": self.cause}


def diagnose(lines: Sequence[Line], config: Mapping[str, Any] | None = None, facts: Facts | None = None) -> Diagnosis:
    """Diagnose a run, finished or not.

    Args:
        lines: of its metrics.jsonl, in their order.
        config: its config as plain values; None: advice is less specific.
        facts: what is known of its data.
    """
    record = Record.of(lines, config, facts)
    curves = {task: record.curves(task) for task in record.tasks}
    total = record.joint()
    judged = {task: judge(each) for task, each in curves.items()}
    states = {task: judgement.state for task, judgement in judged.items()}
    if total is not None:
        curves["joint"], judged["joint"] = total, judge(total)
    tasks = tuple(_task(record, task, curves[task], judged[task]) for task in judged)
    causes = tuple(replace(cause, advice=_usable(record, cause.advice)) for cause in find_causes(record, states))
    action = _action(record, {task: curves[task] for task in states}, states, causes)
    suspicious = any(state is State.DATA for state in states.values()) or any(c.name == "labels" for c in causes)
    suspicious = suspicious or any(_too_good(record, task) for task in states)
    headline = _headline(record, tasks, causes)
    return Diagnosis(record.epochs, headline, tasks, causes, action, suspicious, record.facts.checked)


def _too_good(record: Record, task: str) -> bool:
    """Validation makes no errors at all."""
    rates = record.series(record.validation, f"{task}_eer")[-3:]
    return len(rates) == 3 and bool(np.median(rates) <= TOO_GOOD)


def _headline(record: Record, tasks: Sequence[TaskDiagnosis], causes: Sequence[Cause]) -> str:
    said = ", ".join(f"{task.task}: {task.state}" for task in tasks if task.task != "joint")
    if not record.epochs:
        return f"{causes[0].says.capitalize()} (no epoch is over)." if causes else "Too early to say: no epoch is over."
    after = f"after {record.epochs} epoch{'' if record.epochs == 1 else 's'}"
    return f"{causes[0].says.capitalize()} ({said}; {after})." if causes else f"{said.capitalize()} ({after})."


def _task(record: Record, task: str, curves: Curves, judged: Judgement) -> TaskDiagnosis:
    evidence = [
        _said("Training", curves.train, judged.train),
        _said("Validation", curves.validation, judged.validation),
    ]
    if curves.hardening and record.epochs < curves.hardening + 5:
        evidence.append(f"The task itself grows harder until epoch {curves.hardening}, so its training loss may rise.")
    if len(curves.validation) and np.isfinite(curves.validation).all():
        best = int(np.argmin(curves.validation))
        evidence.append(f"Validation was best in epoch {record.validation[best]['epoch']}.")
    if judged.state is State.TOO_EARLY and curves.coming_down and Direction.UNKNOWN not in _directions(judged):
        evidence.append("The schedule still lowers the rate; what it brings has to be waited for.")
    if task in ("speaker", "liveness"):
        evidence += _errors(record, task)
        evidence += gradient_evidence(record) if judged.state in (State.BOTTLENECK, State.STRUCTURE) else []
    advice = _usable(record, of_state(record, task, judged.state, judged.validation))
    return TaskDiagnosis(task, judged.state, round(judged.confidence, 3), tuple(evidence), advice)


def _usable(record: Record, advice: Advice) -> Advice:
    """Advice less what the run's own config would refuse."""
    return replace(advice, sets=accepted(record, advice.sets))


def _directions(judged: Judgement) -> tuple[Direction, Direction]:
    return judged.train.direction, judged.validation.direction


def _said(name: str, values: np.ndarray, trend: Trend) -> str:
    if trend.window == 0:
        bad = len(values) and not np.isfinite(values).all()
        return f"{name}: {'a value is no number' if bad else 'too few epochs to say'}."
    low, high = (100 * math.expm1(end) for end in (trend.low, trend.high))
    what = {Direction.UNKNOWN: "not clear"}.get(trend.direction, trend.direction.value)
    now, first = f"{values[-1]:.3g}", f"{values[0]:.3g}"
    return (
        f"{name}: {what}, {100 * math.expm1(trend.change):+.0f} % ({low:+.0f} to {high:+.0f}) over the last quarter, "
        f"from {first} to {now} in all."
    )


def _errors(record: Record, task: str) -> list[str]:
    rates = record.series(record.validation, f"{task}_eer")
    found = []
    if np.isfinite(rates).any():
        trend = estimate_trend(rates)
        course = "" if trend.direction is Direction.UNKNOWN else f", {trend.direction}"
        found.append(f"Error rate on validation: {100 * rates[-1]:.1f} %{course}; best {100 * np.nanmin(rates):.1f} %.")
    return found + kind_evidence(record, task)


def _action(
    record: Record, curves: Mapping[str, Curves], states: Mapping[str, State], causes: Sequence[Cause]
) -> Action:
    """What may be done by itself: only what has held for several epochs, and can do no harm."""
    if not states or record.epochs < 2 * HELD:
        return Action()
    lasting = {
        task: state
        for task, state in states.items()
        if (state.is_alarm or state is State.FINISHED) and _has_held(curves[task], state)
    }
    lasting_steps = largest_step(record, held(record.epochs)) or overshoot(record, held(record.epochs)) > OVERSHOOTS
    if any(cause.name == "rate_too_high" for cause in causes) and lasting_steps:
        return Action("lower_rate", "The learning rate is too high.", factor=0.1)
    done = [task for task, state in lasting.items() if state in (State.OVERFITTING, State.FINISHED)]
    going = [task for task, state in states.items() if state is State.LEARNING]
    if len(done) == len(states) and any(lasting[task] is State.OVERFITTING for task in done):
        return Action("stop", "No task gains on validation any more.")
    if done and len(going) == 1:
        return Action("focus", f"The {done[0]} task gains nothing more, the {going[0]} task does.", task=going[0])
    if causes:  # what is wrong is something else, and a lower rate would hide it
        return Action()
    stuck = [task for task, state in lasting.items() if state is State.BOTTLENECK]
    if stuck:
        return Action("lower_rate", f"Both curves of the {stuck[0]} task have been flat.", factor=LOWER_BY)
    return Action()


def held(epochs: int) -> int:
    """Epochs that a state must have been the same for, at the end of so many, to be acted on."""
    return max(HELD, math.ceil(HELD_SHARE * epochs))


def _has_held(curves: Curves, state: State) -> bool:
    return all(judge(curves.before(last)).state is state for last in range(1, held(len(curves.train))))
