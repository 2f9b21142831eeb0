"""What the diagnosis may do by itself, and that it does nothing where it may not."""

import json

import pytest

from vivavoce.training.acting import WAIT, Look
from vivavoce.training.diagnosis.diagnosis import Action

from .test_trainer import CONFIG, make_trainer

LOWER = Action("lower_rate", "Both curves have been flat.", factor=0.3)
FOCUS = Action("focus", "The speaker task gains nothing more.", task="liveness")
STOP = Action("stop", "No task has gained.")


@pytest.fixture
def trainer(tmp_path, corpus, validation_corpus):
    return lambda name="run", **options: make_trainer(
        tmp_path / name, corpus, validation_corpus, CONFIG.model_copy(update=options)
    )


def test_without_leave_nothing_is_done(trainer):
    made = trainer()
    before = made.learner.schedule.factor
    assert not any(made.actor.act(Look("", action), 9, write=True) for action in (LOWER, FOCUS, STOP))
    assert made.learner.schedule.factor == before
    assert made.learner.loss.multitask.in_focus.tolist() == [1, 1]
    assert not made.run.actions.exists()


def test_with_leave_each_action_is_done_written_down_and_waited_for(trainer):
    made = trainer(act=True)
    before = made.learner.schedule.factor
    assert not made.actor.act(Look("", LOWER), 9, write=True)
    assert made.learner.schedule.factor == pytest.approx(0.3 * before)
    assert not made.actor.act(Look("", LOWER), 9 + WAIT - 1, write=True)
    assert made.learner.schedule.factor == pytest.approx(0.3 * before)
    made.actor.act(Look("", FOCUS), 9 + WAIT, write=True)
    speaker, correlation = made.learner.loss.multitask.in_focus.tolist()
    assert speaker < correlation == 1
    assert not made.actor.act(Look("", FOCUS), 9 + 2 * WAIT, write=True)
    assert made.actor.act(Look("", STOP), 9 + 3 * WAIT, write=True)
    lines = [json.loads(line) for line in made.run.actions.read_text().splitlines()]
    assert [(line["epoch"], line["did"]) for line in lines] == [
        (9, "lower_rate"), (9 + WAIT, "focus"), (9 + 3 * WAIT, "stop"),
    ]  # fmt: skip
    assert (lines[0]["factor"], lines[1]["task"]) == (0.3, "liveness")


@pytest.mark.parametrize("kind", ["lower_rate", "stop"])
def test_a_run_acts_on_what_it_sees_and_resumes_as_if_never_stopped(trainer, monkeypatch, kind):
    """The second look says to act; a run that is stopped behind it goes on with what was done."""
    action = {"lower_rate": LOWER, "stop": STOP}[kind]

    def run(name: str):
        made = trainer(name, act=True, epochs=4)
        made.actor.look = lambda: Look("flat", action if made.progress.epoch == 2 else Action())
        return made

    class Enough(Exception):
        pass

    def enough(epoch, _):
        if epoch == 3:
            raise Enough

    whole = run("whole")
    whole.fit()
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in whole.run.read_metrics()]
    if kind == "stop":
        assert {line["epoch"] for line in lines} == {1, 2}
        assert whole.progress.finished
        return
    plain = trainer("plain", epochs=4)
    plain.fit()
    rates = [[line["lr"] for line in made.run.read_metrics() if "lr" in line] for made in (whole, plain)]
    assert rates[0][1] == rates[1][1]
    assert rates[0][2:] == pytest.approx([0.3 * rate for rate in rates[1][2:]])
    stopped = run("stopped")
    with pytest.raises(Enough):
        stopped.fit(enough)
    resumed = run("stopped")
    resumed.resume()
    resumed.fit()
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in resumed.run.read_metrics()] == lines
    assert resumed.actor.acted == 2


def test_each_epoch_leaves_a_diagnosis(trainer):
    made = trainer(epochs=2)
    made.fit()
    found = json.loads(made.run.diagnosis.read_text())
    assert found["epochs"] == 2
    assert {task["task"] for task in found["tasks"]} == {"speaker", "liveness", "joint"}
    assert found["headline"]
