"""The training loop: read it from top to bottom."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.models.joint import JointModel
from vivavoce.training.acting import Actor
from vivavoce.training.checkpoint import TrainerState, load_state, load_weights, save_state, save_weights
from vivavoce.training.config import TrainingConfig
from vivavoce.training.console import Console
from vivavoce.training.crops import Batches
from vivavoce.training.data import TrainingData
from vivavoce.training.distributed import Share
from vivavoce.training.epoch_losses import LOSSES, ZEROS, epoch_means, flat
from vivavoce.training.events import EventFile
from vivavoce.training.guard import Diverged, keep_batch
from vivavoce.training.learner import Learner, NotFinite
from vivavoce.training.memory import keep_freed_memory
from vivavoce.training.parameter_groups import freeze
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.step import JointLoss, StepLoss
from vivavoce.training.stopping import Best
from vivavoce.training.validation import Validation

# The purpose of the seeds of dropout, beside those of `vivavoce.training.crops`.
DROPOUT = 7
# Called after each epoch (from 1) with what validation gave, and its cost.
Watch = Callable[[int, dict[str, float]], None]


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    epoch: int = 0  # whole epochs
    step: int = 0  # batches since the beginning
    sums: list[float] = field(default_factory=ZEROS.copy)  # of this epoch's losses
    steps: int = 0  # of this epoch
    seconds: float = 0.0  # of this epoch
    finished: bool = False


class Trainer:
    """One training run.

    All randomness of a step comes from the seed, the epoch and the step, so that a run that was killed and resumed
    gives the losses of one that never was.
    """

    def __init__(
        self,
        config: TrainingConfig,
        seed: int,
        model: JointModel,
        loss: JointLoss,
        data: TrainingData,
        validation: Validation,
        run: RunFolder,
        share: Share | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self.data = data
        self.validation = validation
        self.run = run
        self.share = share or Share()
        self.learner = Learner(config, model, loss, data.steps, self.share)
        self.progress = Progress()
        self.best = Best(config.early_stopping)
        self.actor = Actor(config.act, self.learner, run)
        self._saved = time.monotonic()

    @property
    def model(self) -> JointModel:
        """What is trained."""
        return self.learner.model

    def fit(self, watch: Watch | None = None) -> Calibration:
        """Train to the last epoch; returns the thresholds of the best one, set on recordings as they are verified.

        Args:
            watch: called after each epoch; what it raises ends the run, which can be resumed.

        Raises:
            Diverged: a loss or a gradient is no number.
        """
        keep_freed_memory()
        self.begin()
        with Console(self.config, self.data.steps, self.share.main) as console, self._events() as events:
            while not self.progress.finished:
                losses = self._train_epoch(console, events)
                self._end_epoch(losses, console, events, watch)
        return self.share.from_main(self._calibrate)

    def begin(self) -> None:
        """Let learn what is to learn, and before the first step solve what of the head has a closed form."""
        freeze(self.learner.model, self.config.freeze, self.progress.epoch)
        if self.progress.step == 0:
            self._fit_head()

    def resume(self) -> None:
        """Continue behind the last checkpoint; where there is none, at the beginning.

        Raises:
            UserError: the trainer's state is damaged, or of another model.
        """
        if self.run.state.exists():
            state = load_state(self.run.state)
            try:
                self.learner.load_state_dict(dict(state["learner"]))
                self.progress = Progress(**state["progress"])
                # An earlier version summed no losses by kind.
                self.progress.sums += ZEROS[len(self.progress.sums) :]
                self.best.load_state_dict(state["best"])
                self.actor.load_state_dict(state["actor"])
                self.data.load_state_dict(state["data"])
            except (RuntimeError, ValueError, TypeError, KeyError) as error:
                raise UserError(
                    f"{self.run.state} belongs to another model or another set of speakers than this run's config and "
                    "manifests give; train into another folder."
                ) from error
        if self.share.main:
            self.run.drop_after(self.progress.epoch, self.progress.step)

    def _train_epoch(self, console: Console, events: EventFile | None) -> dict[str, float]:
        """One pass over the training recordings, or the rest of one; returns the mean losses."""
        at, learner = self.progress, self.learner
        freeze(learner.model, self.config.freeze, at.epoch)
        sums = torch.tensor(at.sums, dtype=torch.float64)
        began = time.monotonic() - at.seconds
        console.begin(at.epoch, at.steps)
        for batches in self.data.epoch(at.epoch):
            losses = self._learn(batches)
            sums += flat(losses)
            at.steps += 1
            at.step += 1
            at.sums, at.seconds = sums.tolist(), time.monotonic() - began
            console.step(losses, learner.optimiser.param_groups[0]["lr"], batches)
            self._log_step(losses, events)
            if learner.whole and self.share.main and time.monotonic() - self._saved > self.config.checkpoint_every_s:
                self._save()
        self._guarded(learner.flush, None)
        return {**epoch_means(sums.tolist(), at.steps, self.config.tasks), "seconds": round(at.seconds, 2)}

    def _learn(self, batches: Batches) -> StepLoss:
        where = [self.seed, self.progress.epoch, self.progress.steps, DROPOUT]
        seed = int(np.random.SeedSequence(where).generate_state(1)[0])

        def step() -> StepLoss:
            losses = self.learner.losses(batches, seed)
            self.learner.learn(losses)
            return StepLoss(*(loss.detach() for loss in losses))

        return self._guarded(step, batches)

    def _end_epoch(
        self, losses: dict[str, float], console: Console, events: EventFile | None, watch: Watch | None
    ) -> None:
        """Validate, record, keep, and decide how to go on."""
        at = self.progress
        summary = self.share.from_main(self._validate)
        cost = summary.pop("cost")
        at.epoch += 1
        at.sums, at.steps, at.seconds = ZEROS.copy(), 0, 0.0
        train = {**losses, "lr": self.learner.optimiser.param_groups[0]["lr"], **self.learner.monitor.epoch_summary()}
        self.learner.schedule.end_epoch(cost)
        is_best = self.best.see(at.epoch, cost)
        at.finished = at.epoch >= self.config.epochs or self.best.enough(at.epoch)
        if self.share.main:
            self._record(train, summary, events)
        look = self.share.from_main(self.actor.look)
        at.finished = self.actor.act(look, at.epoch, self.share.main) or at.finished
        if self.share.main:
            if is_best:
                save_weights(self.learner.judged, self.run.best_weights)
            self._save()
        console.end(at.epoch, train, summary, look.headline)
        if watch is not None:
            watch(at.epoch, {**summary, "cost": cost})

    def _validate(self) -> dict[str, float]:
        scores = self.validation.score(self.learner.judged, self.config.validation_crop_s)
        return {**scores.summary(), "cost": scores.cost(self.config.best_by)}

    def _calibrate(self) -> Calibration:
        load_weights(self.learner.judged, self.run.best_weights)
        calibration = self.validation.calibrate(self.learner.judged)
        self.run.write_calibration(calibration)
        return calibration

    def _fit_head(self) -> None:
        """Solve what a head has in closed form, on the batches of an epoch that training itself never sees."""
        model = self.learner.model
        if not model.head.needs_fit or "liveness" not in self.config.tasks:
            return
        found = (batches.liveness for batches in self.data.epoch(self.config.epochs))
        model.fit_head(batch for batch in found if batch is not None)

    def _guarded(self, work: Callable[[], Any], batches: Batches | None) -> Any:
        """Do ``work``; where its numbers are not finite, keep the batch and say what happened."""
        try:
            return work()
        except NotFinite as error:
            at = self.progress
            kept = "" if batches is None else f"{self._keep_batch(batches)}; "
            raise Diverged(
                f"Training of {self.run.path} ended in step {at.step + 1} (epoch {at.epoch + 1}), for {error}; {kept}"
                "lower training.learning_rate, or set training.precision=float32."
            ) from error

    def _keep_batch(self, batches: Batches) -> str:
        at, path = self.progress, self.run.bad_batch
        recordings = self.data.recordings(at.epoch, at.steps)
        if self.share.main:
            keep_batch(path, batches, recordings, epoch=at.epoch + 1, step=at.step + 1)
        return f"the batch with the names of its {len(recordings)} recordings is in {path}"

    def _events(self) -> AbstractContextManager[EventFile | None]:
        return nullcontext(EventFile(self.run.tensorboard) if self.share.main else None)

    def _log_step(self, losses: StepLoss, events: EventFile | None) -> None:
        """Keep the losses of every so many steps."""
        at = self.progress
        if events is None or at.step % self.config.log_every:
            return
        trained = [name for task in self.config.tasks for name in LOSSES[task]]
        values = {"loss": losses.total.item()} | {f"loss_{name}": getattr(losses, name).item() for name in trained}
        values["lr"] = self.learner.optimiser.param_groups[0]["lr"]
        self.run.append_step({"epoch": at.epoch + 1, "step": at.step, **values})
        events.add(at.step, {f"step/{name}": value for name, value in values.items()})

    def _record(self, train: dict[str, float], validation: dict[str, float], events: EventFile | None) -> None:
        for split, values in (("train", train), ("validation", validation)):
            self.run.append_metrics(self.progress.epoch, split, values)
            if events is not None:
                events.add(self.progress.epoch, {f"{split}/{name}": value for name, value in values.items()})

    def _save(self) -> None:
        """Write the trainer's state as one file, so that a process killed here never leaves parts of two steps."""
        state: TrainerState = {
            "learner": self.learner.state_dict(),
            "progress": dict(vars(self.progress)),
            "best": self.best.state_dict(),
            "actor": self.actor.state_dict(),
            "data": self.data.state_dict(),
        }
        save_state(state, self.run.state)
        self._saved = time.monotonic()
