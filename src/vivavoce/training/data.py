"""The training recordings as an endless supply of seeded random batches."""

from collections.abc import Iterator

import numpy as np
import torch

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.features.batch import LivenessBatch, SpeakerBatch, gather_padded, gather_wrapped, random_starts
from vivavoce.features.masks import mask_bands
from vivavoce.features.store import FeatureStore
from vivavoce.features.warp import change_speed, mel_warp_matrix
from vivavoce.signal.voice import FbankConfig
from vivavoce.training.config import TrainingConfig

FRAMES_PER_S = 100


class TrainingData:
    """Draws the batches of an epoch; all randomness comes from the seed and the epoch number."""

    def __init__(self, rows: list[Row], store: FeatureStore, config: TrainingConfig, voice: FbankConfig) -> None:
        self.store = store
        self.config = config
        self.speakers = sorted({row.speaker for row in rows})
        number = {speaker: index for index, speaker in enumerate(self.speakers)}
        self.labels = np.array([number[row.speaker] for row in rows])
        self.live = np.array([row.meta.kind == "live" for row in rows])
        probed = np.array([quality.usable for quality in store.quality])
        readable = np.array([row.meta.kind.readable for row in rows])
        self.liveness_items = np.flatnonzero(probed & readable)
        self._check()
        high = voice.high_freq if voice.high_freq > 0 else voice.sample_rate / 2 + voice.high_freq
        self.warps = [mel_warp_matrix(voice.num_mel_bins, f, voice.low_freq, high) for f in config.speed_factors]

    @property
    def classes(self) -> int:
        """Classes of the speaker task: each speaker at each speed."""
        return len(self.speakers) * len(self.config.speed_factors)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self.liveness_items) // self.config.liveness_batch)

    def epoch(self, seed: int, epoch: int) -> Iterator[tuple[SpeakerBatch, LivenessBatch]]:
        """Yield the batches of one epoch, the same for the same seed and epoch."""
        rng = np.random.default_rng([seed, epoch])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        order = rng.permutation(self.liveness_items)
        batch = min(self.config.liveness_batch, len(order))
        for step in range(self.steps):
            items = order[step * batch : (step + 1) * batch]
            yield self._speaker_batch(rng, generator), self._liveness_batch(items, rng, generator)

    def _speaker_batch(self, rng: np.random.Generator, generator: torch.Generator) -> SpeakerBatch:
        size = self.config.speaker_batch
        # Speakers first, then a recording of each, so that a talkative speaker is not learnt at others' cost.
        wanted = rng.permutation(np.resize(rng.permutation(len(self.speakers)), size))
        items = self._by_speaker(wanted, rng)
        speeds = rng.integers(len(self.warps), size=size)
        frames = round(self.config.speaker_crop_s * FRAMES_PER_S)
        voice = torch.empty(size, frames, self.store.voice.shape[1])
        for index, factor in enumerate(self.config.speed_factors):
            chosen = np.flatnonzero(speeds == index)
            if not len(chosen):
                continue
            source = round(frames * factor)
            starts = random_starts(self.store, items[chosen], source, rng)
            crops = gather_wrapped(self.store.voice, self.store, items[chosen], starts, source)
            voice[chosen] = crops if factor == 1.0 else change_speed(crops, self.warps[index], frames)
        voice = mask_bands(voice, 2, self.config.mask_mels, generator)
        voice = mask_bands(voice, 1, self.config.mask_frames, generator)
        return SpeakerBatch(voice, torch.from_numpy(self.labels[items] + speeds * len(self.speakers)))

    def _by_speaker(self, speakers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random recording of each wanted speaker."""
        order = np.argsort(self.labels, kind="stable")
        counts = np.bincount(self.labels, minlength=len(self.speakers))
        first = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return order[first[speakers] + np.floor(rng.random(len(speakers)) * counts[speakers]).astype(int)]

    def _liveness_batch(self, items: np.ndarray, rng: np.random.Generator, generator: torch.Generator) -> LivenessBatch:
        frames = round(self.config.liveness_crop_s * FRAMES_PER_S)
        starts = random_starts(self.store, items, frames, rng)
        voice, lengths = gather_padded(self.store.voice, self.store, items, starts, frames)
        echo, _ = gather_padded(self.store.echo, self.store, items, starts, frames)
        live = torch.from_numpy(self.live[items]).float()
        shifted_of = np.repeat(np.flatnonzero(self.live[items]), self.config.shifts)
        shifted_items = items[shifted_of]
        shifted_starts = self._shift(shifted_items, starts[shifted_of], rng)
        shifted, shifted_lengths = gather_padded(self.store.echo, self.store, shifted_items, shifted_starts, frames)
        voice = mask_bands(voice, 2, self.config.mask_mels, generator)
        echo, shifted = (mask_bands(x, 2, self.config.mask_echo, generator) for x in (echo, shifted))
        return LivenessBatch(voice, echo, lengths, live, torch.from_numpy(shifted_of), shifted, shifted_lengths)

    def _shift(self, items: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Other starts for the echo, earlier or later, inside the recording: nothing is rolled, so there is no seam."""
        low, high = (round(seconds * FRAMES_PER_S) for seconds in self.config.shift_s)
        shift = rng.integers(low, high + 1, size=len(items)) * rng.choice([-1, 1], size=len(items))
        shift = np.where(starts + shift < 0, np.abs(shift), shift)
        # Too short a recording to shift so far: its end is still misaligned, and the crop shorter.
        return np.minimum(starts + shift, self.store.frames[items] - FRAMES_PER_S // 2).clip(min=0)

    def _check(self) -> None:
        if len(self.speakers) < 2:
            raise UserError(
                f"The training manifest holds {len(self.speakers)} speaker; the speaker task needs two or more."
            )
        kinds = self.live[self.liveness_items]
        if not len(kinds) or kinds.all() or not kinds.any():
            raise UserError(
                f"The training manifest holds {int(kinds.sum())} live recordings and {int((~kinds).sum())} attacks "
                "with a readable probe; the correlation task needs both, so simulate or record what is missing."
            )
