"""The training recordings as an endless supply of seeded random batches."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.sampling import Items, Sampler
from vivavoce.errors import UserError
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.training.config import TrainingConfig
from vivavoce.training.crops import NEGATIVES, Batches, Cutter, Step
from vivavoce.training.negatives import NO_PLAN, Planner
from vivavoce.training.supply import Supply
from vivavoce.training.teacher import MouthMotion, motion_paths

# The purpose of the seeds of the two samplers, whose own randomness comes from seed and epoch alone.
SAMPLERS = 4
MOST_EPOCHS = 2**20
NONE = np.empty(0, dtype=np.int64)


class TrainingData:
    """Draws the batches of an epoch; all randomness comes from the seed, the epoch and the step."""

    def __init__(
        self,
        rows: Sequence[Row],
        heard: np.ndarray,
        supply: Supply,
        config: TrainingConfig,
        front_end: FrontEndConfig,
        seed: int,
        speeds: tuple[float, ...] = (1.0,),
        taught: bool = False,
    ) -> None:
        """Prepare the samplers.

        Args:
            rows: the training recordings.
            heard: which of them the correlation task may use, ``(rows,)`` bool; see `judgeable`.
            supply: where their features come from.
            config: tasks, batches, crops and negatives.
            front_end: what the features are.
            seed: of every draw.
            speeds: at which the supply may play recordings; each makes a speaker of its own.
            taught: read the mouth's motion where a simulator left it.

        Raises:
            UserError: the recordings do not allow the tasks, or not the samplers that are asked for.
        """
        self.supply = supply
        self.seed = seed
        self.epochs = config.epochs
        self.names = [row.id for row in rows]
        self.live = np.array([row.meta.kind == "live" for row in rows])
        places = {kind: place for place, kind in enumerate(Kind)}
        self.kinds = np.array([places[row.meta.kind] for row in rows], dtype=np.int64)
        self.liveness_items = np.flatnonzero(heard)
        names, self.speakers = np.unique([row.speaker for row in rows], return_inverse=True)
        self._check(config, len(names))
        self.motion = MouthMotion(motion_paths(rows) if taught else [None] * len(rows))
        self.cutter = Cutter(config, front_end, len(names), self.motion, speeds)
        seeds = np.random.SeedSequence([seed, 0, 0, SAMPLERS]).generate_state(2).tolist()
        self.liveness_sampler: Sampler | None = None
        self.speaker_sampler: Sampler | None = None
        if "liveness" in config.tasks:
            # A corpus smaller than a batch is a batch.
            batch = min(config.liveness_batch, len(self.liveness_items))
            judged = Items.of_rows([rows[item] for item in self.liveness_items.tolist()])
            self.liveness_sampler = config.liveness_sampler.build(judged, batch, seeds[0])
        if "speaker" in config.tasks:
            self.speaker_sampler = config.speaker_sampler.build(Items.of_rows(rows), config.speaker_batch, seeds[1])
            _spoken(self.speaker_sampler, 0)
        self.planner = Planner(rows, self.liveness_items, config.negatives)
        self.splices = {number: row.meta.splices for number, row in enumerate(rows) if row.meta.splices}
        # Of the first epoch; another may have some more or less, where batches are made by length.
        self.steps = len(self.sampler)
        self.position = (0, 0)  # epoch, and steps of it that were handed out
        self._restored = False

    @property
    def sampler(self) -> Sampler:
        """The sampler that an epoch is one pass of: the correlation task's, or else the speaker task's."""
        sampler = self.speaker_sampler if self.liveness_sampler is None else self.liveness_sampler
        assert sampler is not None  # a config has one task at least
        return sampler

    @property
    def classes(self) -> int:
        """Classes of the speaker task: each speaker at each speed."""
        return self.cutter.classes

    def epoch(self, epoch: int) -> Iterator[Batches]:
        """Yield the batches of one epoch, the same for the same seed and epoch, from where `load_state_dict` stood."""
        done = self.position[1] if self._restored and self.position[0] == epoch else 0
        self.position, self._restored = (epoch, done), False
        for batches in self.supply.batches(islice(self._steps(epoch), done, None), self.cutter):
            self.position = (epoch, self.position[1] + 1)
            yield batches

    def recordings(self, epoch: int, step: int) -> list[str]:
        """Names of the recordings that a step of an epoch (both from 0) draws on."""
        return [self.names[item] for planned in islice(self._steps(epoch), step, step + 1) for item in planned.items]

    def close(self) -> None:
        """End the workers."""
        self.supply.close()

    def state_dict(self) -> dict[str, Any]:
        """Say which step comes next: behind the last one that was handed out, whatever was prepared beyond it."""
        epoch, done = self.position
        self.sampler.set_epoch(epoch)
        return {"epoch": epoch, "step": done, "sampler": self.sampler.state_dict(done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly behind the last step of a saved state.

        Raises:
            UserError: the state was saved over other recordings, with another seed or another sampler.
        """
        self.sampler.load_state_dict(state["sampler"])
        list(self.sampler)  # it has said that the state is its own; where to go on, `position` knows
        self.position, self._restored = (state["epoch"], state["step"]), True

    def _steps(self, epoch: int) -> Iterator[Step]:
        """Plan the steps of an epoch: one pass of `sampler`, beside the correlation task as much of the other."""
        if self.liveness_sampler is None:
            nothing = (NONE, NONE.astype(bool), NONE, NO_PLAN, {})
            for number, spoken in enumerate(_spoken(self.sampler, epoch)):
                yield Step(self.seed, epoch, number, spoken, self.speakers[spoken], *nothing)
            return
        plan = _one_pass(self.liveness_sampler, epoch)
        for number, (chosen, spoken) in enumerate(zip(plan, self._speaker_batches(epoch), strict=False)):
            items = self.liveness_items[chosen]
            live = self.live[items]
            splices = {place: spans for place, item in enumerate(items.tolist()) if (spans := self.splices.get(item))}
            what = (items, live, self.kinds[items], NO_PLAN, splices)
            step = Step(self.seed, epoch, number, spoken, self.speakers[spoken], *what)
            progress = (epoch + number / len(plan)) / self.epochs
            yield step._replace(negatives=self.planner.plan(items, live, progress, step.generator(NEGATIVES)))

    def _speaker_batches(self, epoch: int) -> Iterator[np.ndarray]:
        """Batches of the speaker sampler without end: its own epoch, then others that no epoch of training begins."""
        for turn in count():
            if self.speaker_sampler is None:
                yield NONE
            else:
                yield from _spoken(self.speaker_sampler, turn * MOST_EPOCHS + epoch)

    def _check(self, config: TrainingConfig, speakers: int) -> None:
        if "speaker" in config.tasks and speakers < 2:
            raise UserError(f"The training manifest holds {speakers} speaker; the speaker task needs two or more.")
        kinds = self.live[self.liveness_items]
        if "liveness" in config.tasks and (not len(kinds) or kinds.all() or not kinds.any()):
            raise UserError(
                f"The training manifest holds {int(kinds.sum())} live recordings and {int((~kinds).sum())} attacks "
                "with a readable probe, beside the kinds that training.held_out leaves out; the correlation task needs "
                "both, so simulate or record what is missing."
            )


def _spoken(sampler: Sampler, epoch: int) -> list[np.ndarray]:
    """One pass of the speaker task, none of whose batches is a single crop: it would end in batch norm's ValueError."""
    batches = _one_pass(sampler, epoch)
    if min(map(len, batches)) < 2:
        raise UserError(
            "A batch of the speaker task would hold one crop alone, of which batch norm learns nothing; set "
            "training.speaker_sampler.drop_last=true, or choose another training.speaker_batch or max_padded."
        )
    return batches


def _one_pass(sampler: Sampler, epoch: int) -> list[np.ndarray]:
    sampler.set_epoch(epoch)
    return list(sampler)


def judgeable(rows: Sequence[Row], usable: np.ndarray) -> np.ndarray:
    """Which recordings the correlation task may use, ``(rows,)``: their probe is meant to be heard, and is (usable)."""
    return usable & np.array([row.meta.kind.readable for row in rows])
