"""The benchmark beside other toolkits' code: how it finds that code, and that it tells real weights from random."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from tests.models.weights.test_campplus import MELS, SMALL, embed, theirs

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    """The benchmark's modules; what they and a test import or stand in for goes with the test."""
    before = dict(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])  # as for a script that is run
        yield {name: importlib.import_module(name) for name in ("peers", "peer_cases", "peer_parity", "tables_weights")}
    for name in sys.modules.keys() - before.keys():
        if name in ("torchaudio", "wespeaker") or name.startswith(("peer", "tables", "wespeaker.")):
            del sys.modules[name]


def test_a_clone_is_found_without_what_its_packages_import_at_their_top(modules, tmp_path):
    package = tmp_path / "wespeaker" / "wespeaker"
    (package / "models").mkdir(parents=True)
    for folder in (package, package / "models"):
        (folder / "__init__.py").write_text("raise RuntimeError('this needs what is not there')\n")
    (package / "models" / "tdnn.py").write_text("import torchaudio\nNAME = 'x-vector'\n")
    modules["peers"].find_peers(tmp_path)
    assert importlib.import_module("wespeaker.models.tdnn").NAME == "x-vector"


class Peer(nn.Module):
    """CAM++ as it is written down beside the tests."""

    def load_state_dict(self, weights, *_, **__):
        self.loaded = weights

    def forward(self, x):
        return embed(self.loaded, x.transpose(1, 2), SMALL.layers)


def test_a_row_of_real_weights_says_so(modules, tmp_path):
    weights = tmp_path / "published.pt"
    torch.save(theirs(), weights)
    case = modules["peer_cases"].Case("campplus", "3dspeaker", "none", lambda _: Peer(), "10", MELS)
    noise = torch.Generator().manual_seed(0)
    waves = [0.1 * torch.randn(samples, generator=noise) for samples in (32_000, 20_000, 26_000)]
    row = modules["peer_parity"].compare(case, None, waves, 0, weights)
    assert row["weights"] == "published.pt"
    assert len(row["weights_sha256"]) == 64
    # Three sounds embed too much alike to be centred, as the cosines are.
    assert row["largest_difference"] < 0.01
    assert row.keys() >= {"lowest_cosine", "end_to_end_lowest_cosine", "shifted_lowest_cosine"}
    result = {"utterances": 3, "torch": "2", "rows": [row, {**row, "weights": "random"}]}
    page = modules["tables_weights"].peer_parity(result)
    assert "| campplus 10 | 3D-Speaker | **real**, `published.pt` | 0.0" in page
    assert "| campplus 10 | 3D-Speaker | random | 0.0" in page
