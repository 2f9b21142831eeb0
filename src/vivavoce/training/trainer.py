"""The training loop: read it from top to bottom."""

import time
from dataclasses import dataclass

import torch

from vivavoce.errors import UserError
from vivavoce.evaluation.calibration import Calibration
from vivavoce.models.joint import JointModel
from vivavoce.progress import progress_bar
from vivavoce.training.checkpoint import TrainerState, load_state, load_weights, save_state, save_weights
from vivavoce.training.config import TrainingConfig
from vivavoce.training.data import TrainingData
from vivavoce.training.events import EventFile
from vivavoce.training.memory import keep_freed_memory
from vivavoce.training.run_folder import RunFolder
from vivavoce.training.schedule import warmup_cosine
from vivavoce.training.step import JointLoss, StepLoss
from vivavoce.training.validation import Validation, ValidationScores

# Losses of each task, in the order in which they are recorded.
LOSSES = {"speaker": ("speaker",), "liveness": ("liveness", "frames", "gate", "sync", "teacher")}


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_cost: float = float("inf")


class Trainer:
    """One training run.

    All randomness of an epoch comes from the seed and the epoch's number, so that a run that was killed and resumed
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
    ) -> None:
        self.config = config
        self.seed = seed
        self.device = config.torch_device()
        self.model = model.to(self.device)
        self.loss = loss.to(self.device)
        self.data = data
        self.validation = validation
        self.run = run
        self.parameters = [*model.parameters(), *loss.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, config.learning_rate, weight_decay=config.weight_decay)
        self.progress = Progress()
        self.bfloat16 = config.use_bfloat16(self.device)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.data.steps

    def fit(self) -> Calibration:
        """Train to the last epoch; returns the thresholds of the best one, set on recordings as they are verified."""
        keep_freed_memory()
        events = EventFile(self.run.tensorboard)
        if self.progress.epoch == 0:
            self._fit_head()
        while self.progress.epoch < self.config.epochs:
            losses = self._train_epoch()
            self.progress.epoch += 1
            scores = self.validation.score(self.model, self.config.validation_crop_s)
            self._record(losses, scores, events)
            self._keep(scores)
        load_weights(self.model, self.run.best_weights)
        calibration = self.validation.calibrate(self.model)
        self.run.write_calibration(calibration)
        return calibration

    def resume(self) -> None:
        """Continue where the last whole epoch ended; where none did, at the beginning.

        Raises:
            UserError: the trainer's state is damaged, or of another model.
        """
        if self.run.state.exists():
            state = load_state(self.run.state)
            try:
                self.model.load_state_dict(state["model"])
                self.loss.load_state_dict(state["loss"])
                self.optimiser.load_state_dict(state["optimiser"])
                self.progress = Progress(**state["progress"])
                self.data.load_state_dict(state["data"])
            except (RuntimeError, ValueError, TypeError, KeyError) as error:
                raise UserError(
                    f"{self.run.state} belongs to another model or another set of speakers than this run's config and "
                    "manifests give; train into another folder."
                ) from error
        self.run.drop_metrics_after(self.progress.epoch)

    def _train_epoch(self) -> dict[str, float]:
        """One pass over the training recordings; returns the mean losses."""
        epoch = self.progress.epoch
        torch.manual_seed(self.seed + 1 + epoch)  # dropout
        self.model.train()
        began = time.monotonic()
        sums, steps = torch.zeros(len(StepLoss._fields)), 0
        with progress_bar(f"Epoch {epoch + 1}/{self.config.epochs}", self.data.steps) as advance:
            for batches in self.data.epoch(epoch):
                autocast = torch.bfloat16 if self.bfloat16 else None
                done = self.progress.step / self.total_steps
                losses = self.loss(self.model, batches, self._margin_share(), done, autocast)
                self._step(losses.total)
                sums += torch.stack([loss.detach().float().cpu() for loss in losses])
                steps += 1
                advance(1)
        means = dict(zip(StepLoss._fields, (sums / steps).tolist(), strict=True))
        trained = {f"loss_{name}": means[name] for task in self.config.tasks for name in LOSSES[task]}
        return {"loss": means["total"], **trained, "seconds": round(time.monotonic() - began, 2)}

    def _fit_head(self) -> None:
        """Solve what a head has in closed form, on the batches of an epoch that training itself never sees."""
        if not self.model.head.needs_fit or "liveness" not in self.config.tasks:
            return
        found = (batches.liveness for batches in self.data.epoch(self.config.epochs))
        self.model.fit_head(batch for batch in found if batch is not None)

    def _step(self, loss: torch.Tensor) -> None:
        if not torch.isfinite(loss):
            raise UserError(
                f"The loss is {loss.item()} in step {self.progress.step} of {self.run.path}; lower "
                "training.learning_rate, or set training.precision=float32."
            )
        factor = warmup_cosine(self.progress.step, self.total_steps, self.config.warmup_share)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        self.optimiser.step()
        self.progress.step += 1

    def _margin_share(self) -> float:
        share = self.config.margin_warmup_share
        return min(1.0, self.progress.step / (share * self.total_steps)) if share else 1.0

    def _record(self, losses: dict[str, float], scores: ValidationScores, events: EventFile) -> None:
        train = {**losses, "lr": self.optimiser.param_groups[0]["lr"]}
        for split, values in (("train", train), ("validation", scores.summary())):
            self.run.append_metrics(self.progress.epoch, split, values)
            events.add(self.progress.epoch, {f"{split}/{name}": value for name, value in values.items()})

    def _keep(self, scores: ValidationScores) -> None:
        """Save the weights, and the best ones apart: best is the lowest sum of equal error rates."""
        if scores.cost <= self.progress.best_cost:
            self.progress.best_cost, self.progress.best_epoch = scores.cost, self.progress.epoch
            save_weights(self.model, self.run.best_weights)
        # One file, so that a process killed here never leaves weights and optimiser of two epochs.
        state: TrainerState = {
            "model": self.model.state_dict(),
            "progress": dict(vars(self.progress)),
            "optimiser": self.optimiser.state_dict(),
            "loss": self.loss.state_dict(),
            "data": self.data.state_dict(),
        }
        save_state(state, self.run.state)
