import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.features.store import FeatureStore

from ..synthetic import make_rows, make_store


@pytest.fixture(scope="session")
def corpus() -> tuple[list[Row], FeatureStore]:
    """Recordings to train on; tests must not change them."""
    rows = make_rows([f"train{i}" for i in range(6)], [Kind.LIVE, Kind.REPLAY_STAND])
    return rows, make_store(rows)


@pytest.fixture(scope="session")
def validation_corpus() -> tuple[list[Row], FeatureStore]:
    rows = make_rows([f"valid{i}" for i in range(3)], [Kind.LIVE, Kind.REPLAY_STAND])
    return rows, make_store(rows, seed=1)
