"""What the diagnosis says after each epoch, and what it may do about it."""

from typing import Any, Literal, NamedTuple

import yaml

from vivavoce.files import write_json
from vivavoce.training.diagnosis.diagnosis import Action, diagnose
from vivavoce.training.diagnosis.reading import last_lowered
from vivavoce.training.diagnosis.record import Facts
from vivavoce.training.learner import Learner
from vivavoce.training.run_folder import RunFolder

# Epochs in which an action shows whether it helped, before there is another.
WAIT = 5
FOCUS: dict[str, Literal["speaker", "correlation"]] = {"speaker": "speaker", "liveness": "correlation"}


class Look(NamedTuple):
    """What one look at the curves gave."""

    headline: str
    action: Action


class Actor:
    """Diagnoses a run after each epoch; where it may, it lowers the rate, ends the run or switches focus."""

    def __init__(self, may_act: bool, learner: Learner, run: RunFolder) -> None:
        self.may_act = may_act
        self.learner = learner
        self.run = run
        self.acted: int | None = None  # epoch
        self.focused: list[str] = []
        self._config: dict[str, Any] = yaml.safe_load(run.config.read_text(encoding="utf-8")) or {}

    def look(self) -> Look:
        """Diagnose the curves as they are, and keep that in the run's diagnosis.json."""
        found = diagnose(self.run.read_metrics(), self._config, Facts(lowered=last_lowered(self.run)))
        write_json(self.run.diagnosis, found.to_dict())
        return Look(found.headline, found.action)

    def act(self, look: Look, epoch: int, write: bool) -> bool:
        """Do at the end of ``epoch`` (from 1) what is to be done; returns whether the run is to end.

        Args:
            look: what the curves gave.
            epoch: that ended.
            write: keep a record in the run's actions.jsonl.
        """
        action = look.action
        waiting = self.acted is not None and epoch - self.acted < WAIT
        if not self.may_act or action.kind == "none" or waiting or action.task in self.focused:
            return False
        if action.kind == "lower_rate":
            assert action.factor is not None
            self.learner.schedule.lower(action.factor)
        elif action.kind == "focus":
            assert action.task is not None
            self.learner.loss.multitask.focus(FOCUS[action.task])
            self.focused.append(action.task)
        self.acted = epoch
        if write:
            done = {"did": action.kind, "why": action.reason, "factor": action.factor, "task": action.task}
            self.run.append_action({"epoch": epoch, **{k: value for k, value in done.items() if value is not None}})
        return action.kind == "stop"

    def state_dict(self) -> dict[str, Any]:
        """What was done, so that a resumed run does not do it again."""
        return {"acted": self.acted, "focused": list(self.focused)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.acted, self.focused = state["acted"], list(state["focused"])
