from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.models.joint import ModelConfig

from .made import write_rows_of

TINY = {
    "name": "ecapa-lstm",
    "trunk": {"channels": 16, "pooled_channels": 32, "embedding_dim": 16, "bottleneck": 8},
    "head": {"channels": 16, "groups": 4, "hidden": 16, "dilations": [1, 2]},
}
KINDS = (Kind.LIVE, Kind.REPLAY_STAND, Kind.PROBE_ABSENT)


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Four speakers with seven utterances, each live, replayed, and without an answer."""
    return write_rows_of(tmp_path_factory.mktemp("stress"), ["a", "b", "c", "d"], KINDS, 7)


def calibration(*parts: str) -> Calibration:
    """Lines and thresholds as a validation split gives them, of the questions that are named."""
    common: dict[str, Any] = {"threshold": 0.0, "eer": 0.1, "n_target": 100, "n_nontarget": 100, "scale": 4.0}
    return Calibration.model_validate({name: {**common, "offset": 0.0} for name in parts})


def make_run(*parts: str) -> Any:
    """What the stress test reads of a loaded run: an untrained model with its front end and a calibration."""
    front_end = FrontEndConfig()
    built = front_end.build()
    torch.manual_seed(0)
    model = ModelConfig.model_validate(TINY).build(built.voice_channels, built.echo_channels)
    model.fit_statistics([(5 + 3 * torch.randn(500, built.voice_channels), torch.randn(500, built.echo_channels))])
    return SimpleNamespace(
        model=model.eval(), config=SimpleNamespace(front_end=front_end), calibration=calibration(*parts)
    )


@pytest.fixture(scope="session")
def run() -> Any:
    return make_run("speaker", "liveness")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"
