import numpy as np
import pytest
from pydantic import ValidationError

from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.loudspeaker import SIZES
from vivavoce.simulate.pools import Half, Pools, draw_pools

HALVES: tuple[Half, Half] = ("seen", "unseen")


def pools(half: Half, seed: int = 0, devices: int = 16, rooms: int = 16) -> Pools:
    config = SimulationConfig.model_validate({"pools": {"half": half, "devices": devices, "rooms": rooms}})
    return draw_pools(seed, config.pools, config.device, config.room, config.scatter)


def test_halves_share_nothing_and_make_up_the_whole() -> None:
    seen, unseen, whole = pools("seen"), pools("unseen"), pools("all")
    for name in ("devices", "rooms"):
        names = [[member.name for member in getattr(pool, name)] for pool in (seen, unseen, whole)]
        assert not set(names[0]) & set(names[1])
        assert sorted(names[0] + names[1]) == sorted(names[2])
        assert len(names[0]) == len(names[1]) == 8
    assert not set(seen.loudspeakers) & set(unseen.loudspeakers)
    assert {*seen.loudspeakers, *unseen.loudspeakers} == set(SIZES)
    assert min(len(seen.loudspeakers), len(unseen.loudspeakers)) >= 3
    # Not by name alone: no two devices have one response.
    responses = np.stack([device.response_db for device in whole.devices])
    assert len(np.unique(responses, axis=0)) == len(responses)


def test_members_stay_when_a_pool_grows_and_change_with_the_seed() -> None:
    small, large, other = pools("seen", devices=4), pools("seen", devices=40), pools("seen", seed=1)
    for one, same, another in zip(small.devices, large.devices, other.devices, strict=False):
        assert one.name == same.name == another.name
        np.testing.assert_array_equal(one.response_db, same.response_db)
        assert not np.array_equal(one.response_db, another.response_db)


def test_chosen_loudspeakers_of_the_half_alone_are_played() -> None:
    def sizes(half: Half, *names: str) -> list[str]:
        config = SimulationConfig.model_validate({"pools": {"half": half, "loudspeakers": names}})
        return list(config.pools.sizes)

    assert sizes("seen", "phone", "tablet") == ["phone"]
    assert sizes("unseen", "phone", "tablet") == ["tablet"]
    with pytest.raises(ValidationError, match=r"no loudspeaker of pools\.loudspeakers"):
        sizes("unseen", "phone")
    with pytest.raises(ValidationError, match="loudspeakers"):
        sizes("all", "gramophone")
