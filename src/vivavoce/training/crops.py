"""The batches of one step, cut from the features of its recordings: a pure function of seed, epoch and step."""

from typing import NamedTuple

import numpy as np
import torch

from vivavoce.features.batch import LivenessBatch, SpeakerBatch, gather_padded, gather_wrapped, random_starts
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.masks import mask_bands
from vivavoce.features.store import FeatureStore
from vivavoce.features.warp import change_speed, mel_warp_matrix
from vivavoce.training.config import TrainingConfig

FRAMES_PER_S = 100


class Step(NamedTuple):
    """What a step needs to know besides the features."""

    seed: int
    epoch: int
    number: int
    speaker_items: np.ndarray  # (speaker batch,) recordings
    speakers: np.ndarray  # (speaker batch,) number of each one's speaker
    liveness_items: np.ndarray  # (liveness batch,) recordings
    live: np.ndarray  # (liveness batch,) bool

    @property
    def items(self) -> np.ndarray:
        """All recordings of the step, those of the speaker task first."""
        return np.concatenate([self.speaker_items, self.liveness_items])

    def generator(self, purpose: int) -> np.random.Generator:
        """Randomness of this step; each purpose has its own, so that one's draws do not shift another's."""
        # The last word is never 0: numpy takes [1, 2] and [1, 2, 0] for the same seed.
        return np.random.default_rng([self.seed, self.epoch, self.number, purpose])


# Purposes of a step's randomness; 1 are the seeds of augmentation (`vivavoce.features.spec.step_seeds`).
CROPS, COPIES = 2, 3


class Cutter:
    """Cuts the crops of a step, warps and masks them, and labels them."""

    def __init__(
        self, config: TrainingConfig, front_end: FrontEndConfig, speakers: int, speeds: tuple[float, ...] = (1.0,)
    ) -> None:
        """Take the number of speakers, and the speeds at which recordings may have been augmented."""
        self.config = config
        self.speakers = speakers
        self.speeds = np.array(speeds)
        self.warps: list[np.ndarray | None] = [None for _ in config.speed_factors]
        if config.speed_factors != (1.0,):
            voice = front_end.voice
            high = voice.high_freq if voice.high_freq > 0 else voice.sample_rate / 2 + voice.high_freq
            bins = voice.num_mel_bins
            self.warps = [mel_warp_matrix(bins, f, voice.low_freq, high).numpy() for f in config.speed_factors]

    @property
    def classes(self) -> int:
        """Classes of the speaker task: each speaker at each speed."""
        return self.speakers * len(self.warps) * len(self.speeds)

    def cut(self, step: Step, store: FeatureStore, slots: np.ndarray) -> tuple[SpeakerBatch, LivenessBatch]:
        """Cut both batches of a step.

        Args:
            step: which step.
            store: where the features are.
            slots: slot of each of ``step.items`` in the store.
        """
        rng = step.generator(CROPS)
        masks = torch.Generator().manual_seed(int(rng.integers(2**31)))
        speaker_slots, liveness_slots = np.split(slots, [len(step.speaker_items)])
        speaker_batch = self._speaker_batch(step, store, speaker_slots, rng, masks)
        return speaker_batch, self._liveness_batch(step, store, liveness_slots, rng, masks)

    def _speaker_batch(
        self, step: Step, store: FeatureStore, slots: np.ndarray, rng: np.random.Generator, masks: torch.Generator
    ) -> SpeakerBatch:
        frames = round(self.config.speaker_crop_s * FRAMES_PER_S)
        warps = rng.integers(len(self.warps), size=len(slots))
        voice = torch.empty(len(slots), frames, store.voice.shape[1])
        for index, (factor, matrix) in enumerate(zip(self.config.speed_factors, self.warps, strict=True)):
            chosen = np.flatnonzero(warps == index)
            if not len(chosen):
                continue
            source = round(frames * factor)
            starts = random_starts(store, slots[chosen], source, rng)
            crops = gather_wrapped(store.voice, store, slots[chosen], starts, source)
            as_is = factor == 1.0 or matrix is None
            voice[chosen] = crops if as_is else change_speed(crops, torch.from_numpy(matrix), frames)
        voice = mask_bands(voice, 2, self.config.mask_mels, masks)
        voice = mask_bands(voice, 1, self.config.mask_frames, masks)
        heard = np.zeros(len(slots), dtype=np.int64)
        if store.speeds is not None:  # the speed nearest to a slot's own: it is one of them
            heard = np.abs(store.speeds[slots][:, None] - self.speeds).argmin(axis=1)
        copies = heard * len(self.warps) + warps
        return SpeakerBatch(voice, torch.from_numpy(step.speakers + copies * self.speakers))

    def _liveness_batch(
        self, step: Step, store: FeatureStore, slots: np.ndarray, rng: np.random.Generator, masks: torch.Generator
    ) -> LivenessBatch:
        frames = round(self.config.liveness_crop_s * FRAMES_PER_S)
        starts = random_starts(store, slots, frames, rng)
        voice, lengths = gather_padded(store.voice, store, slots, starts, frames)
        echo, _ = gather_padded(store.echo, store, slots, starts, frames)
        shifted_of = np.repeat(np.flatnonzero(step.live), self.config.shifts)
        shifted_slots = slots[shifted_of]
        shifted_starts = self._shift(store.frames[shifted_slots], starts[shifted_of], rng)
        shifted, shifted_lengths = gather_padded(store.echo, store, shifted_slots, shifted_starts, frames)
        voice = mask_bands(voice, 2, self.config.mask_mels, masks)
        echo, shifted = (mask_bands(x, 2, self.config.mask_echo, masks) for x in (echo, shifted))
        live = torch.from_numpy(step.live).float()
        return LivenessBatch(voice, echo, lengths, live, torch.from_numpy(shifted_of), shifted, shifted_lengths)

    def _shift(self, frames: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Other starts for the echo, earlier or later, inside the recording: nothing is rolled, so there is no seam."""
        low, high = (round(seconds * FRAMES_PER_S) for seconds in self.config.shift_s)
        shift = rng.integers(low, high + 1, size=len(starts)) * rng.choice([-1, 1], size=len(starts))
        shift = np.where(starts + shift < 0, np.abs(shift), shift)
        # Too short a recording to shift so far: its end is still misaligned, and the crop shorter.
        return np.minimum(starts + shift, frames - FRAMES_PER_S // 2).clip(min=0)
