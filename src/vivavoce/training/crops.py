"""The batches of one step, cut from the features of its recordings: a pure function of seed, epoch and step."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from vivavoce.features.batch import LivenessBatch, SpeakerBatch, gather_wrapped, random_starts
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.masks import mask_bands
from vivavoce.features.store import FeatureStore
from vivavoce.features.warp import change_speed, mel_warp_matrix
from vivavoce.training.config import TrainingConfig
from vivavoce.training.negatives import Plan
from vivavoce.training.pairs import FRAMES_PER_S, Mouths, PairCutter
from vivavoce.training.teacher import MouthMotion


class Step(NamedTuple):
    """What a step needs to know besides the features; a task that is not trained has no items."""

    seed: int
    epoch: int
    number: int
    speaker_items: np.ndarray  # (speaker batch,) recordings
    speakers: np.ndarray  # (speaker batch,) number of each one's speaker
    liveness_items: np.ndarray  # (liveness batch,) recordings
    live: np.ndarray  # (liveness batch,) bool
    kinds: np.ndarray  # (liveness batch,) each one's kind as its place in `Kind`
    negatives: Plan
    splices: Mapping[int, tuple[tuple[float, float], ...]]  # spans, s, by place in the liveness batch

    @property
    def items(self) -> np.ndarray:
        """All recordings of the step: of the speaker task, of the correlation task, partners of its negatives."""
        return np.concatenate([self.speaker_items, self.liveness_items, self.negatives.partners])

    def generator(self, purpose: int) -> np.random.Generator:
        """Randomness of this step; each purpose has its own, so that one's draws do not shift another's."""
        # The last word is never 0: numpy takes [1, 2] and [1, 2, 0] for the same seed.
        return np.random.default_rng([self.seed, self.epoch, self.number, purpose])


class Batches(NamedTuple):
    """The batches of one step; None for a task that is not trained."""

    speaker: SpeakerBatch | None
    liveness: LivenessBatch | None


# Purposes of a step's randomness. 1 are the seeds of augmentation (`vivavoce.features.spec.step_seeds`), 4 those of the
# samplers.
CROPS, COPIES, NEGATIVES, PAIRS = 2, 3, 5, 6


class Cutter:
    """Cuts the crops of a step, warps and masks them, and labels them."""

    def __init__(
        self,
        config: TrainingConfig,
        front_end: FrontEndConfig,
        speakers: int,
        motion: MouthMotion,
        speeds: tuple[float, ...] = (1.0,),
    ) -> None:
        """Take the number of speakers, what is known of mouths, and the speeds of augmented recordings."""
        self.config = config
        self.speakers = speakers
        self.speeds = np.array(speeds)
        self.motion = motion
        self.pairs = PairCutter(config)
        self.warps: list[np.ndarray | None] = [None for _ in config.speed_factors]
        if config.speed_factors != (1.0,) and "speaker" in config.tasks:
            voice = front_end.voice
            high = voice.high_freq if voice.high_freq > 0 else voice.sample_rate / 2 + voice.high_freq
            bins = voice.num_mel_bins
            self.warps = [mel_warp_matrix(bins, f, voice.low_freq, high).numpy() for f in config.speed_factors]

    @property
    def classes(self) -> int:
        """Classes of the speaker task: each speaker at each speed."""
        return self.speakers * len(self.warps) * len(self.speeds)

    def cut(self, step: Step, store: FeatureStore, slots: np.ndarray) -> Batches:
        """Cut both batches of a step.

        Args:
            step: which step.
            store: where the features are.
            slots: slot of each of ``step.items`` in the store.
        """
        spoken, judged = np.split(slots, [len(step.speaker_items)])
        speaker = self._speaker_batch(step, store, spoken, step.generator(CROPS)) if len(spoken) else None
        liveness = None
        if len(judged):
            rng = step.generator(PAIRS)
            places = np.flatnonzero(self.motion.known(step.liveness_items))
            mouths = Mouths(self.motion, places, step.liveness_items[places])
            liveness = self.pairs.cut(store, judged, step.live, step.kinds, step.negatives, step.splices, mouths, rng)
        return Batches(speaker, liveness)

    def _speaker_batch(
        self, step: Step, store: FeatureStore, slots: np.ndarray, rng: np.random.Generator
    ) -> SpeakerBatch:
        masks = torch.Generator().manual_seed(int(rng.integers(2**31)))
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
        voice = mask_bands(voice, 2, self.config.speaker_mask_mels, masks)
        voice = mask_bands(voice, 1, self.config.mask_frames, masks)
        heard = np.zeros(len(slots), dtype=np.int64)
        if store.speeds is not None:  # the speed nearest to a slot's own: it is one of them
            heard = np.abs(store.speeds[slots][:, None] - self.speeds).argmin(axis=1)
        copies = heard * len(self.warps) + warps
        return SpeakerBatch(voice, torch.from_numpy(step.speakers + copies * self.speakers))
