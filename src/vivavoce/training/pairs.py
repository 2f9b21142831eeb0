"""Pairs of voice and echo of one step, true and false, with the label of every frame.

Nothing but the label may tell a true pair from a false one. So all crops of a batch leave the room that a shift needs,
whether they get one or not; true pairs are judged over lengths that false ones have; and what is spliced has the same
seams in both (see `vivavoce.training.negatives`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vivavoce.features.batch import LivenessBatch, Origin, gather_padded
from vivavoce.features.masks import mask_bands
from vivavoce.features.store import FeatureStore
from vivavoce.models.layers.stream import STREAM_STRIDE
from vivavoce.training.config import TrainingConfig
from vivavoce.training.negatives import LEAST_SHIFT_S, Plan
from vivavoce.training.teacher import MouthMotion

FRAMES_PER_S = 100
# A crop that leaves room for shifts keeps at least half of its recording, and this.
LEAST_FRAMES = 50
# The most of a crop that a span from elsewhere fills, so that some of its own is left.
MOST_OF_CROP = 0.75

Splices = Mapping[int, Sequence[tuple[float, float]]]


class Mouths(NamedTuple):
    """Of which recordings of the batch the mouth's motion is known."""

    motion: MouthMotion
    places: np.ndarray  # (taught,) places in the batch
    items: np.ndarray  # (taught,) recordings


class Crops(NamedTuple):
    """Crops of the batch's recordings, and behind them of their partners."""

    voice: Tensor  # (crops, frames, voice channels)
    echo: Tensor  # (crops, frames, echo channels)
    lengths: np.ndarray  # (crops,)


class Spans(NamedTuple):
    """What partial pairs are made of."""

    of: np.ndarray  # (spans,) crop that is spliced
    first: np.ndarray  # (spans,) crop whose span both streams get
    second: np.ndarray  # (spans,) crop whose span the echo of the false pair gets instead
    begin: np.ndarray  # (spans,) frame
    end: np.ndarray  # (spans,) frame


class Pairs(NamedTuple):
    """Which voice goes with which echo."""

    voice: np.ndarray  # (pairs,)
    echo: np.ndarray  # (pairs,)
    origin: np.ndarray  # (pairs,) an `Origin`


class PairCutter:
    """Cuts the pairs of a step from the features of its recordings."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.longest = round(config.liveness_crop_s * FRAMES_PER_S)
        self.shortest = round(config.liveness_crop_from * self.longest)

    def cut(
        self,
        store: FeatureStore,
        slots: np.ndarray,
        live: np.ndarray,
        kinds: np.ndarray,
        plan: Plan,
        splices: Splices,
        mouths: Mouths,
        rng: np.random.Generator,
    ) -> LivenessBatch:
        """Cut one step's pairs.

        Args:
            store: where the features are.
            slots: slot of each recording of the batch and of each partner behind them.
            live: which of the batch are live, ``(batch,)`` bool.
            kinds: kind of each of the batch as its place in `Kind`, ``(batch,)``.
            plan: the negatives to make.
            splices: spans that do not belong together, s, by place in the batch.
            mouths: the motion that is known of the batch's own recordings.
            rng: randomness of this step.
        """
        masks = torch.Generator().manual_seed(int(rng.integers(2**31)))
        frames = int(rng.integers(self.shortest, self.longest + 1))
        shifts = self._shifts(store.frames[slots], plan, rng)
        starts, lengths = self._windows(store.frames[slots], frames, live, plan, shifts, rng)
        crops = Crops(
            gather_padded(store.voice, store, slots, starts, frames, lengths)[0],
            gather_padded(store.echo, store, slots, starts, frames, lengths)[0],
            lengths,
        )
        shifted = np.flatnonzero(shifts)
        of = plan.of[shifted]
        late, _ = gather_padded(store.echo, store, slots[of], starts[of] + shifts[shifted], frames, lengths[of])
        plan, spans = self._spans(plan, lengths, rng)
        pairs = _pair_up(plan, shifted, len(spans.of), len(live), len(slots))
        frame_live = np.ones((len(pairs.voice), -(-frames // STREAM_STRIDE)), dtype=bool)
        frame_live[: len(live)] = _recorded_labels(store, slots, starts, live, splices, frame_live.shape[1])
        frame_live[len(live) :] = (pairs.origin[len(live) :] == Origin.PARTIAL)[:, None]
        false = frame_live[len(frame_live) - len(spans.of) :]
        false &= ~_inside(np.arange(false.shape[1]) * STREAM_STRIDE, spans)
        batch = self._batch(crops, late, lengths[of], spans, pairs, frame_live, masks, rng)
        taught = mouths.places
        speeds = np.ones(len(taught)) if store.speeds is None else store.speeds[slots[taught]]
        motion = mouths.motion.crops(mouths.items, starts[taught], frames, speeds)
        kinds = np.pad(kinds, (0, len(pairs.origin) - len(kinds)), constant_values=-1)  # recordings come first
        return batch._replace(kind=torch.from_numpy(kinds), taught=torch.from_numpy(taught), motion=motion)

    def _shifts(self, frames: np.ndarray, plan: Plan, rng: np.random.Generator) -> np.ndarray:
        """Draw how much later than the voice each shifted echo is cut, frames; 0 where none is, or there is no room."""
        low = round(plan.least_shift_s * FRAMES_PER_S)
        high = round(self.config.negatives.shift_s[1] * FRAMES_PER_S)
        size = rng.integers(low, high + 1, size=len(plan.of)) * (plan.kind == Origin.SHIFT)
        shifts = size * rng.choice([-1, 1], size=len(plan.of))
        # Both ways out of one recording, the room is shared.
        room = _room(frames[plan.of])
        ways = [np.isin(plan.of, plan.of[shifts * sign > 0]) for sign in (-1, 1)]
        shifts = np.sign(shifts) * np.minimum(size, np.where(ways[0] & ways[1], room // 2, room))
        return np.where(np.abs(shifts) >= round(LEAST_SHIFT_S * FRAMES_PER_S), shifts, 0)

    def _windows(
        self,
        frames: np.ndarray,
        most: int,
        live: np.ndarray,
        plan: Plan,
        shifts: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw where crops begin, and how long they are: short enough that all their shifted echoes are as long."""
        before, after = np.zeros((2, len(frames)), dtype=np.int64)
        np.maximum.at(before, plan.of, -shifts)
        np.maximum.at(after, plan.of, shifts)
        # Attacks leave as much room as some live crop of the batch, lest their length tell them.
        voices, attacks = np.flatnonzero(live), np.flatnonzero(~live)
        if len(voices):
            like = rng.choice(voices, len(attacks))
            room = _room(frames[attacks]) // 2
            before[attacks], after[attacks] = (np.minimum(needed[like], room) for needed in (before, after))
        lengths = np.minimum(frames - before - after, most)
        slack = frames - before - after - lengths
        return before + np.floor(rng.random(len(frames)) * (slack + 1)).astype(np.int64), lengths

    def _spans(self, plan: Plan, lengths: np.ndarray, rng: np.random.Generator) -> tuple[Plan, Spans]:
        """Draw the spans of partial pairs, whole 20 ms frames; where a crop is too short for one, swap it whole."""
        chosen = np.flatnonzero(plan.kind == Origin.PARTIAL)
        of, first, second = plan.of[chosen], plan.first[chosen], plan.second[chosen]
        shortest, longest = (round(seconds * FRAMES_PER_S) for seconds in self.config.negatives.partial_s)
        usable = np.minimum(np.minimum(lengths[first], lengths[second]), lengths[of])
        size = rng.integers(shortest, longest + 1, size=len(chosen))
        size = _even(np.minimum(size, MOST_OF_CROP * usable))
        begin = _even(rng.random(len(chosen)) * (usable - size + 1))
        short = size < _even(np.array(shortest))
        kind, other = plan.kind.copy(), plan.first.copy()
        kind[chosen[short]], other[chosen[short]] = Origin.SWAP, second[short]
        spans = Spans(of, first, second, begin, begin + size)
        return plan._replace(kind=kind, first=other), Spans(*(part[~short] for part in spans))

    def _batch(
        self,
        crops: Crops,
        late: Tensor,
        late_lengths: np.ndarray,
        spans: Spans,
        pairs: Pairs,
        frame_live: np.ndarray,
        masks: torch.Generator,
        rng: np.random.Generator,
    ) -> LivenessBatch:
        """Put the streams together that any pair needs, and judge true pairs over lengths that false ones have."""
        own = len(pairs.voice) and int((pairs.origin == Origin.RECORDED).sum())
        voice = torch.cat([crops.voice[:own], _spliced(crops.voice, spans, spans.first)])
        others = (_spliced(crops.echo, spans, source) for source in (spans.first, spans.second))
        echo = torch.cat([crops.echo, late, *others])
        whole = crops.lengths[spans.of]
        voice_lengths = np.concatenate([crops.lengths[:own], whole])
        echo_lengths = np.concatenate([crops.lengths, late_lengths, whole, whole])
        # A partner that lent no more than a span, or only its voice, needs no encoding.
        used, echo_of = np.unique(pairs.echo, return_inverse=True)
        ends = echo_lengths[pairs.echo]
        lengths = _even_out(np.minimum(voice_lengths[pairs.voice], ends), ends, pairs, rng)
        judged = np.arange(frame_live.shape[1]) * STREAM_STRIDE < lengths[:, None]
        return LivenessBatch(
            mask_bands(voice, 2, self.config.mask_mels, masks),
            mask_bands(echo[torch.from_numpy(used)], 2, self.config.mask_echo, masks),
            torch.from_numpy(voice_lengths),
            torch.from_numpy(echo_lengths[used]),
            torch.from_numpy(pairs.voice),
            torch.from_numpy(echo_of.reshape(-1)),
            torch.from_numpy(lengths),
            torch.from_numpy((frame_live | ~judged).all(axis=1).astype(np.float32)),
            torch.from_numpy(frame_live.astype(np.float32)),
            torch.from_numpy(pairs.origin),
            torch.full((len(pairs.origin),), -1),
            torch.empty(0, dtype=torch.long),
            torch.empty(0, voice.shape[1], 0),
        )


def _pair_up(plan: Plan, shifted: np.ndarray, spans: int, batch: int, crops: int) -> Pairs:
    """Pair what stands in this order: voices of batch and spans; echoes of crops, shifts, true and false spans."""
    whole = np.flatnonzero((plan.kind == Origin.REPLACE) | (plan.kind == Origin.SWAP))
    own, span = np.arange(batch), np.arange(spans)
    late = crops + np.arange(len(shifted))
    partial = crops + len(shifted) + span
    kinds = [np.full(batch, Origin.RECORDED), plan.kind[whole], plan.kind[shifted], np.full(2 * spans, Origin.PARTIAL)]
    return Pairs(
        np.concatenate([own, plan.of[whole], plan.of[shifted], batch + span, batch + span]),
        np.concatenate([own, plan.first[whole], late, partial, partial + spans]),
        np.concatenate(kinds).astype(np.int64),
    )


def _recorded_labels(
    store: FeatureStore, slots: np.ndarray, starts: np.ndarray, live: np.ndarray, splices: Splices, frames: int
) -> np.ndarray:
    """Labels of the recordings as they are: of spliced ones those of each 20 ms frame, ``(batch, frames)``."""
    labels = np.repeat(live[:, None], frames, axis=1)
    for place, spans in splices.items():
        speed = 1.0 if store.speeds is None else store.speeds[slots[place]]
        # Middle of each 20 ms frame, on the clock of the recording as it was before it was played faster.
        middle = starts[place] + (np.arange(frames) + 0.5) * STREAM_STRIDE
        times = middle[:, None] * (speed / FRAMES_PER_S)
        begin, end = np.array(spans, dtype=np.float64).reshape(-1, 2).T
        labels[place] = ~((times >= begin) & (times < end)).any(axis=1)
    return labels


def _even_out(lengths: np.ndarray, echo_lengths: np.ndarray, pairs: Pairs, rng: np.random.Generator) -> np.ndarray:
    """Judge recordings as they are over lengths that negatives have.

    A swap ends where its echo does, which is another recording's end. So a recording ends there, too, for one of its
    own negatives, or, where none was made of it, for any of the batch. A shift sets no end: it was given room.
    """
    recorded = np.flatnonzero(pairs.origin == Origin.RECORDED)
    made = np.flatnonzero((pairs.origin != Origin.RECORDED) & (pairs.origin != Origin.PARTIAL))
    if not len(made):
        return lengths
    ends = np.where(pairs.origin[made] == Origin.SHIFT, lengths.max(), echo_lengths[made])
    own = pairs.voice[made][None, :] == recorded[:, None]
    own[~own.any(axis=1)] = True
    chosen = np.where(own, rng.random(own.shape), -1.0).argmax(axis=1)
    evened = lengths.copy()
    evened[recorded] = np.minimum(lengths[recorded], ends[chosen])
    return evened


def _spliced(stream: Tensor, spans: Spans, source: np.ndarray) -> Tensor:
    """Streams ``(spans, frames, channels)`` with a span from the crops ``source``."""
    inside = torch.from_numpy(_inside(np.arange(stream.shape[1]), spans))
    return torch.where(inside[:, :, None], stream[torch.from_numpy(source)], stream[torch.from_numpy(spans.of)])


def _inside(frames: np.ndarray, spans: Spans) -> np.ndarray:
    """Which frames lie in each span, ``(spans, frames)``."""
    return (frames >= spans.begin[:, None]) & (frames < spans.end[:, None])


def _room(frames: np.ndarray) -> np.ndarray:
    """How much of a recording may be left out for shifts, frames."""
    return frames - np.minimum(frames, np.maximum(frames // 2, LEAST_FRAMES))


def _even(frames: np.ndarray) -> np.ndarray:
    return 2 * (frames // 2).astype(np.int64)
