"""What a head that is fitted in closed form is given: batches of streams and which voice goes with which echo."""

from typing import NamedTuple, Protocol

from torch import Tensor


class Pairs(Protocol):
    """What `JointModel.fit_head` reads of a batch, such as a `vivavoce.features.batch.LivenessBatch`."""

    @property
    def voice(self) -> Tensor:
        """Voice features ``(voices, frames, voice_channels)``."""
        ...

    @property
    def echo(self) -> Tensor:
        """Echo features ``(echoes, frames, echo_channels)``."""
        ...

    @property
    def voice_lengths(self) -> Tensor:
        """Frames of each voice, ``(voices,)``."""
        ...

    @property
    def echo_lengths(self) -> Tensor:
        """Frames of each echo, ``(echoes,)``."""
        ...

    @property
    def voice_of(self) -> Tensor:
        """Which voice each pair joins, ``(pairs,)``."""
        ...

    @property
    def echo_of(self) -> Tensor:
        """Which echo each pair joins, ``(pairs,)``."""
        ...

    @property
    def lengths(self) -> Tensor:
        """Frames of each pair that are judged, ``(pairs,)``."""
        ...

    @property
    def live(self) -> Tensor:
        """1 where voice and echo belong together, else 0, ``(pairs,)``."""
        ...


class Streams(NamedTuple):
    """The same as a head reads it: normalised, channels first."""

    voice: Tensor  # (voices, voice_channels, frames)
    echo: Tensor  # (echoes, echo_channels, frames)
    voice_mask: Tensor  # (voices, frames)
    echo_mask: Tensor  # (echoes, frames)
    voice_of: Tensor  # (pairs,)
    echo_of: Tensor  # (pairs,)
    mask: Tensor  # (pairs, frames)
    live: Tensor  # (pairs,) 1 or 0
