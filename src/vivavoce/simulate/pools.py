"""The phones, rooms and loudspeakers that recordings are drawn from, and which half of them training may meet."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from vivavoce.simulate.device import Device, DeviceConfig, draw_device
from vivavoce.simulate.draws import Settings, generator
from vivavoce.simulate.loudspeaker import SIZES, SizeName
from vivavoce.simulate.room import Room, RoomConfig, draw_room
from vivavoce.simulate.scatter import ScatterConfig
from vivavoce.simulate.speech import RATE_HZ

Half = Literal["all", "seen", "unseen"]


class PoolConfig(Settings):
    """How many members each pool has, and which half is drawn from.

    Members are numbered from 1, loudspeakers in the order of `vivavoce.simulate.loudspeaker.SIZES`: even ones are
    "seen", odd ones "unseen". A member depends on the seed and its number alone, so that with one seed the halves share
    nothing and stay as they are when a pool grows.
    """

    devices: int = Field(default=16, ge=2, le=10_000, description="phones; a speaker owns one")
    rooms: int = Field(default=16, ge=2, le=10_000, description="rooms; a session is in one")
    loudspeakers: tuple[SizeName, ...] = Field(
        default=tuple(SIZES), min_length=1, description="sizes of loudspeakers that attackers play with"
    )
    half: Half = Field(
        default="all",
        description="`seen`: even members only, for training; `unseen`: odd ones only, for tests; `all`: both",
    )

    @model_validator(mode="after")
    def _has_loudspeakers(self) -> Self:
        if not self.sizes:
            names = ", ".join(self.loudspeakers)
            raise ValueError(f"no loudspeaker of pools.loudspeakers ({names}) is in the {self.half} half")
        return self

    @property
    def sizes(self) -> list[SizeName]:
        """Sizes of loudspeakers in the chosen half."""
        return [name for number, name in enumerate(SIZES, 1) if name in self.loudspeakers and self.holds(number)]

    def holds(self, number: int) -> bool:
        """Tell whether the member of this number is in the chosen half."""
        return self.half == "all" or (number % 2 == 0) == (self.half == "seen")


@dataclass(frozen=True)
class Pools:
    """The members of the chosen half."""

    devices: list[Device]
    rooms: list[Room]
    loudspeakers: list[SizeName]


def draw_pools(seed: int, config: PoolConfig, device: DeviceConfig, room: RoomConfig, scatter: ScatterConfig) -> Pools:
    """Draw the members of the chosen half; equal seeds give equal members."""
    devices = [number for number in range(1, config.devices + 1) if config.holds(number)]
    rooms = [number for number in range(1, config.rooms + 1) if config.holds(number)]
    return Pools(
        [draw_device(generator(seed, "device", str(n)), device, f"device{n}", RATE_HZ) for n in devices],
        [draw_room(generator(seed, "room", str(n)), room, scatter, f"room{n}") for n in rooms],
        config.sizes,
    )
