"""All augmentations of a recording in the order in which the world applies them."""

import hashlib

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from vivavoce.features.augment.band_limit import BandLimit, BandLimitConfig
from vivavoce.features.augment.base import Step, stream
from vivavoce.features.augment.codec import Codec, CodecConfig
from vivavoce.features.augment.fourier import block_size
from vivavoce.features.augment.handling import Handling, HandlingConfig
from vivavoce.features.augment.noise import Noise, NoiseConfig
from vivavoce.features.augment.room import Room, RoomConfig
from vivavoce.features.augment.speed import Speed, SpeedConfig
from vivavoce.features.augment.volume import Volume, VolumeConfig
from vivavoce.signal.framing import masked

# A voice sounds in a room, noise joins it, the hand touches the phone, the converter clips, a line and a codec follow.
STEPS: tuple[type[Step], ...] = (Room, Noise, Handling, Volume, BandLimit, Codec)
AUGMENTATIONS: tuple[type[Step] | type[Speed], ...] = (Speed, *STEPS)


class AugmentConfig(BaseModel):
    """Augmentation of recordings; a section that is not given is off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: SpeedConfig | None = None
    rir: RoomConfig | None = None
    noise: NoiseConfig | None = None
    handling: HandlingConfig | None = None
    volume: VolumeConfig | None = None
    band_limit: BandLimitConfig | None = None
    codec: CodecConfig | None = None

    @property
    def is_identity(self) -> bool:
        """Whether nothing is switched on."""
        sections = (getattr(self, name) for name in type(self).model_fields)
        return not any(section is not None and section.probability > 0 for section in sections)

    def build(self) -> "Augment":
        """Make the augmentation.

        Raises:
            UserError: a folder of sounds is missing or empty, or a codec is not installed.
        """
        return Augment(self)


class Augment:
    """Augments recordings; each item depends on its own samples and its own seed alone.

    Sounds of the user's folders are read when they are first needed (`load` reads them at once). It may be sent to
    another process, which reads them again.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self.speed = Speed(config.speed or SpeedConfig(probability=0))
        sections = (getattr(config, step.name) for step in STEPS)
        self.steps: list[Step] = [section.build() for section in sections if section and section.probability > 0]

    @property
    def speed_factors(self) -> tuple[float, ...]:
        """All factors that `speeds` may draw, 1.0 first where it is among them."""
        return self.speed.factors

    def speeds(self, seeds: np.ndarray) -> np.ndarray:
        """Return how many times as fast each item is played, ``(items,)`` float64; 1.0 is untouched."""
        return self.speed.draw(np.asarray(seeds))

    def load(self) -> "Augment":
        """Read the user's sounds now, so that a damaged file is found before a long run and not within it.

        Raises:
            UserError: a sound file cannot be read, or all of a folder are silent.
        """
        for step in self.steps:
            step.load()
        return self

    def fingerprint(self) -> str:
        """Return a hash of what the outcome depends on beside samples and seeds: the config and the sounds' content."""
        # Where a folder lies does not matter, what is in it does.
        paths = {name: {"path"} for name in ("rir", "noise", "handling")}
        digest = hashlib.sha256(self.config.model_dump_json(exclude=paths).encode())
        for step in self.steps:
            digest.update(step.bank.fingerprint().encode() if step.bank is not None else b"-")
        return digest.hexdigest()

    def voice(self, wave16k: Tensor, lengths: Tensor, seeds: np.ndarray) -> Tensor:
        """Augment the voice band.

        Args:
            wave16k: ``(batch, samples)`` at 16 kHz, full scale 1; what stands behind an item's end does not matter.
            lengths: ``(batch,)`` int64 samples of each item.
            seeds: ``(batch,)`` int64, one an item.

        Returns:
            ``(batch, samples)`` of the same type and device, zero behind each item's end. On the CPU an item comes
            out the same to the last bit in whatever batch it goes in.
        """
        seeds = np.asarray(seeds)
        if not len(wave16k) == len(lengths) == len(seeds):
            raise ValueError(f"{len(wave16k)} items need as many lengths and seeds, not {len(lengths)}, {len(seeds)}.")
        out = masked(wave16k, lengths)
        if not self.steps:
            return out
        reach = max(step.reach for step in self.steps)
        samples = lengths.cpu().numpy()
        sizes = np.array([block_size(int(count) + reach) if count else 0 for count in samples])
        with torch.no_grad():
            for size in sorted(set(sizes.tolist()) - {0}):
                rows = np.flatnonzero(sizes == size)
                index = torch.from_numpy(rows).to(out.device)
                kept = min(size, out.shape[1])
                block = out.new_zeros(len(rows), size, dtype=torch.float32)
                block[:, :kept] = out[index, :kept]
                out[index, :kept] = self._chain(block, lengths[index], seeds[rows])[:, :kept].to(out.dtype)
        return out

    def _chain(self, block: Tensor, lengths: Tensor, seeds: np.ndarray) -> Tensor:
        """Take items of one block size through all steps."""
        for step in self.steps:
            rngs = [stream(seed, step.name) for seed in seeds.tolist()]
            rows = [row for row, rng in enumerate(rngs) if rng.random() < step.probability]
            if not rows:
                continue
            index = torch.tensor(rows, device=block.device)
            chosen = lengths[index]
            block[index] = masked(step.apply(block[index], chosen, [rngs[row] for row in rows]), chosen)
        return block


def table() -> list[dict[str, str]]:
    """Return one row an augmentation for the documentation: name, what it does, bands, whether the label stays true."""
    return [
        {
            "name": step.name,
            "what": (step.__doc__ or "").strip().splitlines()[0],
            "bands": ", ".join(sorted(step.bands)),
            "keeps_correlation": "yes" if step.keeps_correlation else "no",
        }
        for step in AUGMENTATIONS
    ]
