"""`vivavoce train --act`: the diagnosis may act by itself."""

import pytest

from vivavoce.errors import UserError
from vivavoce.experiment import Experiment

from ..tiny import run_cli


@pytest.mark.parametrize(
    ("words", "acts"),
    [
        ((), False),
        (("--act",), True),
        (("--no-act",), False),
        (("--set", "training.act=true"), True),
        (("--no-act", "--set", "training.act=true"), False),
    ],
)
def test_the_flag_is_the_key_of_the_config(tmp_path, monkeypatch, words, acts):
    seen = []

    def train(experiment, *_):
        seen.append(experiment.config.training.act)
        raise UserError("Enough.")

    monkeypatch.setattr(Experiment, "train", train)
    (tmp_path / "config.yaml").write_text("data: {train: a, validation: b}\n")
    run_cli("train", tmp_path / "config.yaml", "--out", tmp_path / "run", *words)
    assert seen == [acts]
