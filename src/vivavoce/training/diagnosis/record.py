"""A run's metrics as curves: per task, of the monitor, and what the config says of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vivavoce.training.diagnosis.states import Curves

CHANCE_LOSS = math.log(2)  # cross-entropy of two classes that count alike
CHANCE_EER = 0.5
TASKS = ("speaker", "liveness")
# A training task that hardens all along is compared with itself from here on all the same.
MOST_HARDENING = 0.5
# The parts that steps are judged by. What else the losses learn (log variances, a bias) may begin at zero, where any
# step is endlessly large beside it, and harms nobody.
WEIGHTY = ("trunk", "head", "speaker_loss")
# A part whose weights move by less than this of their size in a step does not learn; weight decay alone moves them so.
STANDS_STILL = 1e-9
# Update of a step over the weights, median of an epoch. About 1e-3 is a common rule of thumb; the default rate gives
# 2e-3 to 5e-3 at its peak (benchmarks/provoked_runs.py).
USUAL, TOO_LARGE, TOO_SMALL = 3e-3, 0.05, 1e-4
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """What is known of a run beside its metrics.

    Attributes:
        recordings: of the training manifest.
        speakers: of the training manifest.
        shared: sentences that say what training and validation share.
        wrong: sentences of the audit that say what else is wrong with the data.
        checked: what of the data was looked at, in words; empty: nothing.
        there: all sound files of both manifests are where these say; False also where that is not known.
        audited: the sound of both manifests was looked at.
        lowered: epoch at whose end training itself lowered the rate last; 0: it never did.
        ended: sentences that say how training broke off since a loss was no number; empty: it did not.
    """

    recordings: int | None = None
    speakers: int | None = None
    shared: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    checked: str = ""
    there: bool = False
    audited: bool = False
    lowered: int = 0
    ended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """All that a diagnosis reads."""

    train: tuple[Line, ...]
    validation: tuple[Line, ...]
    config: Mapping[str, Any]
    facts: Facts = field(default_factory=Facts)

    @classmethod
    def of(cls, lines: Sequence[Line], config: Mapping[str, Any] | None, facts: Facts | None = None) -> "Record":
        """Take the lines of metrics.jsonl, in their order; epochs without validation do not count."""
        by_split = {
            split: {int(line["epoch"]): line for line in lines if line.get("split") == split and "epoch" in line}
            for split in ("train", "validation")
        }
        both = sorted(by_split["train"].keys() & by_split["validation"].keys())
        train, validation = (tuple(by_split[split][epoch] for epoch in both) for split in ("train", "validation"))
        return cls(train, validation, config or {}, facts or Facts())

    @property
    def epochs(self) -> int:
        """Epochs that were trained and validated."""
        return len(self.train)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that are trained."""
        return tuple(task for task in TASKS if np.isfinite(self.series(self.train, f"loss_{task}")).any())

    @property
    def rate(self) -> np.ndarray:
        """Learning rate at the end of each epoch."""
        return self.series(self.train, "lr")

    @property
    def share_done(self) -> float | None:
        """Share of the planned epochs that are over."""
        planned = self.setting("training", "epochs")
        return self.epochs / planned if planned else None

    @property
    def over(self) -> bool:
        """All epochs are over, or most and the schedule has brought the rate down."""
        return (self.share_done or 0.0) >= 1 or any(self.curves(task).schedule_ended for task in self.tasks)

    def setting(self, *path: str) -> Any:
        """Value of a key of the config; None where it is not known."""
        value: Any = self.config
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def series(self, lines: Sequence[Line], name: str) -> np.ndarray:
        """One figure of each epoch; NaN where it is missing."""
        values = [line.get(name) for line in lines]
        return np.array([math.nan if value is None else float(value) for value in values])

    def monitored(self, name: str) -> np.ndarray:
        """A figure of the monitor, of those epochs that have it."""
        values = self.series(self.train, name)
        return values[~np.isnan(values)]

    def since_lowered(self, name: str) -> np.ndarray:
        """A figure of each epoch behind the last in which training itself lowered the rate; NaN where it is missing."""
        return self.series([line for line in self.train if line["epoch"] > self.facts.lowered], name)

    def by_part(self, figure: str) -> dict[str, np.ndarray]:
        """A figure of the monitor by part of the model."""
        names = {name for line in self.train for name in line if name.startswith(f"{figure}/")}
        return {name.split("/", 1)[1]: self.monitored(name) for name in sorted(names)}

    def update_ratios(self) -> dict[str, np.ndarray]:
        """Size of a step over that of the weights, of the parts that steps are judged by."""
        ratios = self.by_part("update_ratio")
        return {part: values for part, values in ratios.items() if part in WEIGHTY and len(values)}

    def curves(self, task: str) -> Curves:
        """The curves of a task; its error rates stand in for a validation loss that was not recorded."""
        train = self.series(self.train, f"loss_{task}")
        validation, chance = self.series(self.validation, f"loss_{task}"), CHANCE_LOSS
        if np.isnan(validation).any():
            validation, chance = self.series(self.validation, f"{task}_eer"), CHANCE_EER
        rate = self.rate
        return Curves(
            train,
            validation,
            None if np.isnan(rate).any() else rate,
            self.hardening(task),
            self.share_done,
            (CHANCE_LOSS if task == "liveness" else None, chance),
        )

    def hardening(self, task: str) -> int:
        """First epochs in which the training task grows harder by plan: a margin, or harder negatives."""
        planned = self.setting("training", "epochs") or 0
        if task == "speaker":
            share = self.setting("training", "margin_warmup_share") if self.setting("speaker", "margin") else 0
        else:
            share = self.setting("training", "negatives", "curriculum", "over")
        share = share or 0
        return math.ceil(share * planned) if share <= MOST_HARDENING else 0

    def joint(self) -> Curves | None:
        """The curves of the total loss; None where one task alone is trained or their weights change with time."""
        if len(self.tasks) < 2 or (self.setting("multitask", "type") or "sum") not in ("sum", "weighted"):
            return None
        each = [self.curves(task) for task in self.tasks]
        total = self.series(self.train, "loss")
        validation = np.sum([curves.validation for curves in each], axis=0)
        hardening = max(curves.hardening for curves in each)
        return Curves(total, validation, each[0].rate, hardening, self.share_done)

    def best_eer(self, task: str) -> float:
        """Lowest error rate that validation ever had; NaN where there is none."""
        rates = self.series(self.validation, f"{task}_eer")
        return float(np.nanmin(rates)) if np.isfinite(rates).any() else math.nan
