"""Rooms: measured or synthesised impulse responses whose direct sound stays where it is."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from vivavoce.errors import UserError
from vivavoce.features.augment.bank import Bank
from vivavoce.features.augment.base import RATE_HZ, Range, Section, Step
from vivavoce.features.augment.fourier import irfft, product, rfft
from vivavoce.signal.framing import masked

BEFORE = RATE_HZ // 1000  # 1 ms before the peak is the rise of a band-limited direct sound, not a room
# The direct sound of a measured response, up to the first reflections: 2.5 ms. Scaling it against what follows is how
# Bryan 2020 ("Impulse response data augmentation and deep neural networks for blind room acoustic parameter
# estimation") gives one response many distances.
DIRECT = RATE_HZ // 400
SHORTEST_S = 0.05  # of a reverberation time; a car's
LONGEST_S = 1.0  # of any response; a home's tail is 60 dB down before
FADE_S = 0.05
# What tells a response from another sound: next to nothing before the direct sound, and most of the energy within
# 0.3 s of it (87 % with a reverberation time of 2 s; speech has some 15 to 60 %).
MOST_BEFORE, LEAST_BEHIND, BEHIND_S = 0.1, 0.7, 0.3
# A direct sound is the first arrival within 6 dB of the strongest; a floor reflection may be the strongest.
DIRECT_SHARE = 0.5
# The first reflection near a phone, a table's or a wall's, comes 0.3 to 2 m behind the direct sound.
GAP_S = (0.001, 0.006)


class RoomConfig(Section):
    """Reverberation of a room."""

    path: Path | None = Field(default=None, description="folder of measured impulse responses; none: synthesised")
    rt60_s: Range = Field(
        default=(0.2, 0.6), description="reverberation time of synthesised rooms, s; homes and offices; 0.05 to 1"
    )
    direct_db: Range = Field(
        default=(6.0, 20.0),
        description="direct sound against reverberation, dB, of measured rooms too; 6 to 20 near the mouth, and below "
        "6 the tail drags the voice's envelope by more than 5 ms",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "RoomConfig":
        if self.path is not None and self.rt60_s != type(self).model_fields["rt60_s"].default:
            raise ValueError("rt60_s belongs to synthesised rooms; leave out either it or path")
        if not SHORTEST_S <= self.rt60_s[0] <= self.rt60_s[1] <= LONGEST_S:
            raise ValueError(f"rt60_s must lie between {SHORTEST_S:g} and {LONGEST_S:g} s")
        return self

    def build(self) -> "Room":
        """Make the step."""
        return Room(self)


class Room(Step):
    """Puts the voice into a room; the direct sound stays at time 0 and the power of the recording as it is.

    Synthesised responses are Polack's: Gaussian noise that decays by 60 dB in RT60 behind the direct sound (Polack
    1988; Habets 2007, "Single- and multi-microphone speech dereverberation", 2.2). Measured ones are cut 1 ms before
    the direct sound. In both the direct sound is set against the rest as drawn, since responses are measured across
    a room and a phone is held near the mouth.

    Bands: the voice band alone. The correlation label stays true: what the mouth does is heard when it does it, and
    the echoes of the room come behind.
    """

    name = "rir"
    bands = frozenset({"voice"})
    keeps_correlation = True

    def __init__(self, config: RoomConfig) -> None:
        super().__init__(config.probability)
        self.config = config
        self.bank = Bank(config.path, "impulse response") if config.path is not None else None

    @cached_property
    def measured(self) -> list[np.ndarray]:
        """Measured responses as `aligned` returns them."""
        assert self.bank is not None
        return [aligned(samples, path) for path, samples in self.bank.sounds.items()]

    @property
    def reach(self) -> int:
        """The longest response."""
        longest_s = LONGEST_S if self.bank is not None else self.config.rt60_s[1]
        return BEFORE + int(np.ceil(longest_s * RATE_HZ))

    def load(self) -> None:
        """Read the user's sounds."""
        if self.bank is not None:
            _ = self.measured

    def apply(self, wave: Tensor, lengths: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
        """Convolve; see `Step.apply`."""
        responses = np.zeros(tuple(wave.shape), dtype=np.float32)
        for row, rng in zip(responses, rngs, strict=True):
            drawn = self._measured(rng) if self.bank is not None else self._synthetic(rng)
            row[: len(drawn) - BEFORE] = drawn[BEFORE:]
            row[-BEFORE:] = drawn[:BEFORE]  # before time 0
        responses = torch.from_numpy(responses).to(wave.device)
        wet = masked(irfft(product(rfft(wave), rfft(responses)), wave.shape[1]), lengths)
        energy = wet.square().sum(dim=1, keepdim=True)
        gain = (wave.square().sum(dim=1, keepdim=True) / energy.clamp(min=1e-30)).sqrt()
        return wet * gain

    def _measured(self, rng: np.random.Generator) -> np.ndarray:
        response = self.measured[rng.integers(len(self.measured))].copy()
        response[DIRECT:] *= self._reverberant(rng)
        return response

    def _synthetic(self, rng: np.random.Generator) -> np.ndarray:
        samples = int(rng.uniform(*self.config.rt60_s) * RATE_HZ)
        gap = int(rng.uniform(*GAP_S) * RATE_HZ)
        tail = rng.standard_normal(max(samples - gap, 1), dtype=np.float32)
        tail *= np.exp(np.arange(len(tail), dtype=np.float32) * np.float32(-3 * np.log(10) / samples))
        response = np.zeros(BEFORE + gap + len(tail), dtype=np.float32)
        response[BEFORE + gap :] = tail * (self._reverberant(rng) / np.linalg.norm(tail))
        response[BEFORE] = 1.0
        return response

    def _reverberant(self, rng: np.random.Generator) -> np.float32:
        return np.float32(10 ** (-rng.uniform(*self.config.direct_db) / 20))


def aligned(response: np.ndarray, path: Path) -> np.ndarray:
    """Cut a measured response: `BEFORE` samples, the direct sound, and the rest faded out at `LONGEST_S`.

    Direct sound (the first `DIRECT` samples) and the rest have energy 1 each.

    Raises:
        UserError: the sound is no impulse response.
    """
    level = np.abs(response)
    first = int(np.flatnonzero(level >= DIRECT_SHARE * level.max())[0])
    direct = first + int(np.argmax(level[first : first + BEFORE]))
    energy = np.square(response) / np.square(response).sum()
    start = max(0, direct - BEFORE)
    if energy[:start].sum() > MOST_BEFORE or energy[start:][: int(BEHIND_S * RATE_HZ)].sum() < LEAST_BEHIND:
        raise UserError(
            f"The sound file {path} is no room impulse response, its sound does not die away behind one strong peak; "
            "take it out of that folder."
        )
    cut = np.concatenate([np.zeros(BEFORE, dtype=np.float32), response])[direct:][: BEFORE + int(LONGEST_S * RATE_HZ)]
    cut = np.pad(cut, (0, max(0, DIRECT - len(cut)))).astype(np.float32)
    fade = min(int(FADE_S * RATE_HZ), len(cut) - DIRECT)
    cut[len(cut) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    for part in (cut[:DIRECT], cut[DIRECT:]):
        part /= max(float(np.linalg.norm(part)), 1e-20)
    return cut
