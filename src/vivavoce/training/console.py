"""The live console: where a run stands, in a terminal as a table that changes, elsewhere as one line an epoch."""

import time
from collections import deque
from types import TracebackType
from typing import Self

import torch
from rich.console import Console as Terminal
from rich.live import Live
from rich.table import Table

from vivavoce.training.config import TrainingConfig
from vivavoce.training.crops import Batches
from vivavoce.training.step import StepLoss

REDRAWN_HZ = 4
# Steps over which the speed is averaged.
RECENT = 50


class Console:
    """Losses, rate, speed, memory, time left and diagnosis on standard error."""

    def __init__(self, config: TrainingConfig, epoch_steps: int, shown: bool = True) -> None:
        self.config = config
        self.epoch_steps = epoch_steps
        self.terminal = Terminal(stderr=True, highlight=False, quiet=not shown)
        self.shown = shown and self.terminal.is_terminal
        self.epoch = self.steps = 0
        self.began, self.began_at = time.monotonic(), 0.0
        self.recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self.losses: StepLoss | None = None
        self.rate = 0.0
        self.headline = ""
        # Last, since it draws at once.
        drawn = {"refresh_per_second": REDRAWN_HZ, "transient": True}
        self.live = Live(get_renderable=self._table, console=self.terminal, **drawn)

    def __enter__(self) -> Self:
        if self.shown:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self.live.stop()

    def begin(self, epoch: int, steps: int) -> None:
        """An epoch (from 0) begins, or goes on behind ``steps`` of it."""
        if not self.recent:
            self.began, self.began_at = time.monotonic(), epoch * self.epoch_steps + steps
        self.epoch, self.steps = epoch, steps

    def step(self, losses: StepLoss, rate: float, batches: Batches) -> None:
        """A step is done; its losses are read only when they are drawn, so that no GPU is waited for."""
        speaker, liveness = batches
        samples = (0 if speaker is None else len(speaker.voice)) + (0 if liveness is None else len(liveness.voice))
        self.recent.append((time.monotonic(), samples))
        self.losses, self.rate = losses, rate
        self.steps += 1

    def end(self, epoch: int, train: dict[str, float], validation: dict[str, float], headline: str) -> None:
        """An epoch (from 1) is validated."""
        self.headline = headline
        errors = [f"{task} EER {100 * validation[f'{task}_eer']:.1f} %" for task in self.config.tasks]
        parts = [f"loss {train['loss']:.3f}", *errors, f"rate {train['lr']:.2g}", f"{train['seconds']:.1f} s"]
        line = f"Epoch {epoch}/{self.config.epochs}: " + ", ".join(parts)
        self.terminal.print(f"{line}; {headline}" if headline else line, soft_wrap=True, markup=False)

    @property
    def samples_per_s(self) -> float:
        """Crops that were learned from in a second, of the last steps."""
        if len(self.recent) < 2:
            return 0.0
        seconds = self.recent[-1][0] - self.recent[0][0]
        return sum(count for _, count in list(self.recent)[1:]) / max(seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Until the last epoch ends, at the speed of this process so far; None before the first step."""
        done = self.epoch * self.epoch_steps + self.steps - self.began_at
        left = self.config.epochs * self.epoch_steps - self.began_at - done
        return None if done <= 0 else (time.monotonic() - self.began) / done * max(0, left)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        left = self.seconds_left
        table.add_row("Epoch", f"{self.epoch + 1}/{self.config.epochs}, step {self.steps}/{self.epoch_steps}")
        if self.losses is not None:
            for task in ("total", *self.config.tasks):
                table.add_row(f"{task.capitalize()} loss", f"{getattr(self.losses, task).item():.4f}")
        table.add_row("Rate", f"{self.rate:.3g}")
        table.add_row("Speed", f"{self.samples_per_s:.1f} samples/s")
        if torch.cuda.is_available():
            table.add_row("GPU memory", f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB at most")
        table.add_row(
            "Left", "" if left is None else f"{int(left // 3600)}:{int(left % 3600 // 60):02}:{int(left % 60):02}"
        )
        if self.headline:
            table.add_row("Diagnosis", self.headline)
        return table
