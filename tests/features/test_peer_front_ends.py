"""Whole runs on the features that other toolkits' weights expect, whose frames are not those of the echo's grid."""

import json

import pytest
import yaml

from tests.tiny import Tiny, run_cli
from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS

TRUNK = {"stem_channels": 4, "channels": 16, "layers": [2, 1, 1], "growth": 8, "bottleneck": 16, "embedding_dim": 16}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["offline", "online"])
@pytest.mark.parametrize("family", ["3dspeaker", "speechbrain"])
def test_campplus_trains_and_is_evaluated_on_them(tiny: Tiny, family: str, mode: str, tmp_path):
    config = yaml.safe_load(tiny.config.read_text())
    config["model"] = {**config["model"], "name": "campplus-lstm", "trunk": TRUNK}
    config |= {"front_end": {"voice": PEER_FRONT_ENDS[family]}, "features": {"mode": mode}}
    config["training"]["speed_factors"] = [0.9, 1.0, 1.1]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    trained = run_cli("train", tmp_path / "config.yaml", "--out", tmp_path / "run", "--json")
    assert trained.code == 0, trained.err
    told = run_cli("evaluate", tmp_path / "run", tiny.test, "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["speaker"]["n_speakers"] == len(tiny.speakers)
