"""A trunk file is checked where it is read, so that nobody who reads one meets anything but a whole one."""

import json
from typing import get_args

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.models.weights.peers import xvector
from tests.tiny import assert_refused, run_cli, unchanged
from vivavoce.errors import UserError
from vivavoce.models.joint import TRUNKS
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.models.weights.layout import TrunkConfig
from vivavoce.models.weights.trunk_file import read_trunk_file


@pytest.fixture
def trunk(tmp_path):
    torch.save(xvector("wespeaker"), tmp_path / "peer.pt")
    path = tmp_path / "trunk.safetensors"
    import_checkpoint(tmp_path / "peer.pt", "wespeaker").trunk.write(path)
    return path


def spoil(path, change):
    """Write a trunk file anew after ``change(description, weights)``, which may return another description as text."""
    with safe_open(path, framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        info = json.loads(file.metadata()["info"])
    text = change(info, weights)
    save_file(weights, path, {"info": text if isinstance(text, str) else json.dumps(info)})


def put(where, key, value):
    """Set a key of the description (0), of its trunk or voice, or of the weights (1)."""

    def change(info, weights):
        {"trunk": info["trunk"], "voice": info["voice"], 0: info, 1: weights}[where][key] = value

    return change


DAMAGED = {
    "no weight": (lambda _, weights: weights.pop("embedding.bias"), "it lacks embedding.bias"),
    "another weight": (put(1, "extra", torch.zeros(2)), "extra has no place"),
    "a shape": (put(1, "embedding.bias", torch.zeros(7)), "embedding.bias has the shape (7,) and not (12,)"),
    "whole numbers": (put(1, "embedding.bias", torch.zeros(12, dtype=torch.int64)), "embedding.bias holds what"),
    "no numbers": (put(1, "embedding.bias", torch.full((12,), torch.nan)), "embedding.bias holds what"),
    "an unknown key": (put("trunk", "depth", 3), "trunk.xvector.depth is not possible"),
    "an unknown trunk": (put("trunk", "type", "resnet"), "trunk is not possible"),
    "no trunk": (lambda info, _: info["trunk"].update(type=None), "trunk is not possible"),
    "sizes without end": (put("trunk", "channels", 2**62), "no network can be made"),
    "other features": (put("voice", "kind", 1), "voice.fbank.kind is not possible"),
    "more features": (put("voice", "num_mel_bins", 24), "voice and deltas make 24 features"),
    "a toolkit": (put(0, "family", "kaldi"), "family is not possible"),
    "text": (lambda *_: "hello", "cannot be read"),
    "a list": (lambda *_: "[1]", "damaged"),
    "a later version": (put(0, "version", 2), "version 2, and this vivavoce reads version 1"),
    "a version before all": (put(0, "version", 0), "version is not possible"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_or_later_file_is_refused_in_one_sentence(what: str, trunk):
    change, part = DAMAGED[what]
    spoil(trunk, change)
    with pytest.raises(UserError) as caught:
        read_trunk_file(trunk)
    assert str(caught.value).startswith(str(trunk))
    assert part in str(caught.value)
    assert "import the toolkit's checkpoint anew" in str(caught.value)


@pytest.mark.parametrize("what", ["no weight", "an unknown key", "no trunk", "a later version", "cut short"])
def test_show_and_export_refuse_it_too(what: str, trunk):
    if what == "cut short":
        trunk.write_bytes(trunk.read_bytes()[:-10])
    else:
        spoil(trunk, DAMAGED[what][0])
    with unchanged(trunk.parent):
        assert_refused(run_cli("weights", "show", trunk), str(trunk))
        words = ("export", trunk, "--to", "wespeaker", "--out", trunk.with_name("out.pt"))
        assert_refused(run_cli("weights", *words), str(trunk))


def test_a_file_from_before_a_setting_has_its_default(trunk):
    spoil(trunk, lambda info, _: {info["trunk"].pop("segment_layers"), info.pop("deltas"), info.pop("version")})
    # Two affine layers are no default: without the setting the weights of one have no place.
    with pytest.raises(UserError, match=r"segment\.affine\.bias has no place"):
        read_trunk_file(trunk)
    spoil(trunk, put("trunk", "segment_layers", 2))
    assert read_trunk_file(trunk).info.deltas == 0


def test_every_trunk_can_be_in_a_file():
    assert set(get_args(TrunkConfig)) == set(TRUNKS.values())
