import numpy as np
import pytest
from pydantic import TypeAdapter

from vivavoce.corpus.sampling import Items, SamplerConfig

KINDS = ["live", "tts", "shifted", "replay_stand"]


def some_items(count: int, seed: int = 0, speakers: int = 7) -> Items:
    """Recordings of uneven speakers, kinds and lengths; all kinds are there from 4 items up."""
    rng = np.random.default_rng(seed)
    kinds = np.array(KINDS)[np.concatenate([np.arange(4), rng.choice(4, max(0, count - 4), p=[0.7, 0.1, 0.1, 0.1])])]
    numbers = np.minimum(rng.geometric(0.3, count), speakers)
    return Items(
        speakers=np.array([f"s{number}" for number in numbers]),
        kinds=rng.permutation(kinds[:count]),
        lengths=np.minimum(rng.gamma(3.0, 100.0, count).round() + 20, 1200),
        columns={"device": np.array(["a", "b", "b"])[rng.integers(3, size=count)], "weight": rng.random(count) + 0.01},
    )


def make(options, items, batch, seed=0, rank=0, world=1):
    return TypeAdapter(SamplerConfig).validate_python(options).build(items, batch, seed, rank, world)


@pytest.fixture
def items() -> Items:
    return some_items(90)
