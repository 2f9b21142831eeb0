import json

import pytest
import torch
import yaml

from tests.models.weights.peers import EMBEDDING, MELS, xvector
from tests.tiny import assert_refused, run_cli, unchanged
from vivavoce.models.joint import TRUNKS
from vivavoce.models.weights.trunk_file import read_trunk_file


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "peer.pt"
    torch.save({"state_dict": {**xvector("wespeaker"), "projection.weight": torch.zeros(5, EMBEDDING)}}, path)
    return path


def test_import_show_and_export(checkpoint, tmp_path):
    out = tmp_path / "trunk.safetensors"
    result = run_cli("weights", "import", checkpoint, "--from", "wespeaker", "--out", out, "--json")
    assert result.code == 0, result.err
    assert result.json["left_out"] == ["projection.weight"]
    shown = run_cli("weights", "show", out, "--json").json
    assert shown["architecture"] == "xvector"
    assert shown["embedding_dim"] == EMBEDDING
    trunk = TRUNKS["xvector"].model_validate(shown["trunk"]).build(MELS)
    assert shown["parameters"] == sum(value.numel() for value in trunk.parameters())
    assert shown["voice"]["num_mel_bins"] == MELS
    assert yaml.safe_load((tmp_path / "trunk.yaml").read_text())["model"]["name"] == "xvector-fused"
    back = tmp_path / "back.pt"
    assert run_cli("weights", "export", out, "--to", "wespeaker", "--out", back).code == 0
    weights = torch.load(back, weights_only=True)
    assert all(torch.equal(value, xvector("wespeaker")[key]) for key, value in weights.items())


def test_show_reads_another_toolkits_checkpoint_and_speaks_to_people(checkpoint):
    shown = run_cli("weights", "show", checkpoint)
    assert shown.code == 0, shown.err
    assert "xvector of WeSpeaker" in shown.out
    assert f"{EMBEDDING} values" in shown.out
    assert "20 mel bins from 20 Hz to 8000 Hz, hamming window" in shown.out
    assert "projection.weight" in shown.out


def test_mistakes_end_in_one_sentence_and_leave_nothing(checkpoint, tmp_path):
    out = tmp_path / "trunk.safetensors"
    with unchanged(tmp_path):
        assert_refused(
            run_cli("weights", "import", checkpoint, "--from", "speechbrain", "--out", out), "--from wespeaker"
        )
        assert_refused(
            run_cli("weights", "import", checkpoint, "--from", "wespeaker", "--out", tmp_path / "trunk.pt"),
            ".safetensors",
        )
        assert_refused(
            run_cli("weights", "export", checkpoint, "--to", "wespeaker", "--out", tmp_path / "b.pt"), "trunk file"
        )
        assert_refused(run_cli("weights", "show", tmp_path), "There is no file")


def test_a_runs_trunk_is_exported_or_the_setting_named_that_forbids_it(tiny, tmp_path):
    refused = run_cli("weights", "export", tiny.run, "--to", "3dspeaker", "--out", tmp_path / "b.pt")
    assert_refused(refused, "3D-Speaker's ecapa cannot hold this trunk: model.trunk.")
    assert not list(tmp_path.iterdir())


def test_the_files_metadata_is_json(checkpoint, tmp_path):
    from safetensors import safe_open

    out = tmp_path / "trunk.safetensors"
    run_cli("weights", "import", checkpoint, "--from", "wespeaker", "--out", out)
    with safe_open(out, framework="pt") as file:
        info = json.loads(file.metadata()["info"])
    assert info == json.loads(read_trunk_file(out).info.model_dump_json())
    assert {info["family"], info["format"]} == {"wespeaker", "vivavoce-trunk"}
