import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from tests.models.weights.peers import EMBEDDING, MELS, xvector
from tests.tiny import assert_refused, run_cli, unchanged
from vivavoce.config import ExperimentConfig
from vivavoce.experiment import build_model
from vivavoce.models.campplus import CamPlusPlusConfig
from vivavoce.models.ecapa_tdnn import PRESETS, EcapaConfig
from vivavoce.models.joint import TRUNKS
from vivavoce.models.weights.checkpoint import write_checkpoint
from vivavoce.models.weights.convert import export_trunk
from vivavoce.models.weights.trunk_file import read_trunk_file
from vivavoce.settings import load_settings
from vivavoce.training.run_folder import RunFolder

FINETUNE = Path(__file__).parents[2] / "examples" / "finetune.yaml"
SMALL = {"channels": 16, "pooled_channels": 32, "bottleneck": 8, "embedding_dim": 16}
HEAD = "{channels: 16, groups: 4, hidden: 16, embedding: 8, dilations: [1, 2]}"


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
    assert "20 mel bins from 20 Hz to 8000 Hz, hamming window (fbank)" in shown.out
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


def test_nothing_that_is_there_is_written_over_but_by_the_same_import(checkpoint, tmp_path):
    out = tmp_path / "trunk.safetensors"
    write_checkpoint(tmp_path / "peer.safetensors", xvector("wespeaker"))
    (tmp_path / "link.safetensors").symlink_to("peer.safetensors")
    assert run_cli("weights", "import", checkpoint, "--from", "wespeaker", "--out", out).code == 0
    (tmp_path / "mine.yaml").write_text("model: {}\n")
    (tmp_path / "folder.yaml").mkdir()
    with unchanged(tmp_path):
        for source in ("peer.safetensors", "link.safetensors"):
            words = ("import", tmp_path / source, "--from", "wespeaker", "--out", tmp_path / "peer.safetensors")
            assert_refused(run_cli("weights", *words), f"would write over {tmp_path / source}")
        assert_refused(run_cli("weights", "export", out, "--to", "wespeaker", "--out", out), "would write over")
        for name in ("mine", "folder"):
            words = ("import", checkpoint, "--from", "wespeaker", "--out", tmp_path / f"{name}.safetensors")
            assert_refused(run_cli("weights", *words), f"{tmp_path / name}.yaml", "something else", "another --out")
    again = run_cli("weights", "import", checkpoint, "--from", "wespeaker", "--out", out)
    assert again.code == 0, again.err


def test_a_runs_own_files_are_not_written_over(tiny):
    weights = next(tiny.run.rglob("*.safetensors"))
    with unchanged(tiny.run):
        assert_refused(run_cli("weights", "export", tiny.run, "--to", "tao", "--out", weights), "would write over")


def test_where_the_trunk_cannot_be_written_no_piece_of_configuration_stays(checkpoint, tmp_path):
    (tmp_path / "out" / "trunk.safetensors").mkdir(parents=True)
    out = tmp_path / "out" / "trunk.safetensors"
    assert_refused(run_cli("weights", "import", checkpoint, "--from", "wespeaker", "--out", out), "cannot be written")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["trunk.safetensors"]


def test_an_export_says_which_features_the_toolkit_computes_otherwise(tmp_path):
    config = CamPlusPlusConfig(stem_channels=4, channels=16, layers=(2, 1, 1), growth=8, bottleneck=12, embedding_dim=8)
    write_checkpoint(tmp_path / "peer.pt", export_trunk(config, config.build(80).state_dict(), "3dspeaker"))
    trunk, out = tmp_path / "trunk.safetensors", tmp_path / "back.pt"
    assert run_cli("weights", "import", tmp_path / "peer.pt", "--from", "3dspeaker", "--out", trunk).code == 0
    same = ("weights", "export", trunk, "--to", "3dspeaker", "--out", out)
    assert run_cli(*same, "--json").json["differing_features"] == {}
    assert "Voice features  those that 3D-Speaker computes" in run_cli(*same).out
    other = ("weights", "export", trunk, "--to", "wespeaker", "--out", out)
    assert run_cli(*other, "--json").json["differing_features"] == {
        "front_end.voice.window": {"here": "povey", "there": "hamming"},
        "front_end.voice.scale": {"here": 1.0, "there": 32768.0},
    }
    says = "front_end.voice.window is povey and there hamming, front_end.voice.scale is 1.0 and there 32768.0;"
    assert f"not those that WeSpeaker computes: {says} give its network the former" in run_cli(*other).out


def test_a_run_of_our_own_features_says_so_when_exported(tiny, tmp_path):
    run = RunFolder.open(shutil.copytree(tiny.run, tmp_path / "run"))
    tree = yaml.safe_load(run.config.read_text())
    tree["model"]["trunk"] |= PRESETS["speechbrain"]
    tree["model"]["voice_norm"] = {"type": "sliding"}
    run.config.write_text(yaml.safe_dump(tree))
    save_file(build_model(load_settings(ExperimentConfig, run.config)).state_dict(), run.best_weights)
    export = ("weights", "export", tmp_path / "run", "--to", "speechbrain", "--out", tmp_path / "b.pt")
    apart = run_cli(*export, "--json").json["differing_features"]
    assert apart["front_end.voice.type"] == {"here": "fbank", "there": "melspec"}
    assert apart["front_end.voice.n_fft"] == {"here": None, "there": 400}
    assert apart["model.voice_norm.type"] == {"here": "sliding", "there": "utterance"}
    says = "model.voice_norm.type is sliding and there utterance, front_end.voice.type is fbank and there melspec; give"
    assert says in run_cli(*export).out


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


def ecapa(folder, **sizes: int):
    """A checkpoint of WeSpeaker's ECAPA-TDNN, and the trunk file and fragment that the import makes of it."""
    config = EcapaConfig.preset("wespeaker", **sizes)
    torch.manual_seed(0)
    write_checkpoint(folder / "peer.pt", export_trunk(config, config.build(80).state_dict(), "wespeaker"))
    out = folder / "trunk.safetensors"
    assert run_cli("weights", "import", folder / "peer.pt", "--from", "wespeaker", "--out", out).code == 0
    return out


def test_the_example_of_fine_tuning_has_what_the_import_of_its_network_writes(tmp_path):
    ecapa(tmp_path)
    written = yaml.safe_load((tmp_path / "trunk.yaml").read_text())
    example = yaml.safe_load(FINETUNE.read_text())
    assert example["model"]["name"] == written["model"]["name"]
    given, expected = (EcapaConfig.model_validate(tree["model"]["trunk"]) for tree in (example, written))
    assert given == expected
    from vivavoce.features.front_end import FrontEndConfig

    given, expected = (FrontEndConfig.model_validate(tree["front_end"]) for tree in (example, written))
    assert given == expected


def finetune(tiny, trunk, out, *changes: str):
    small = [f"model.trunk.{key}={value}" for key, value in SMALL.items()]
    data = [f"data.train={tiny.train}", f"data.validation={tiny.validation}", f"model.pretrained={trunk}"]
    sizes = ["liveness_batch=12", "speaker_batch=16", "liveness_crop_s=1.5", "speaker_crop_s=1.0", "workers=1"]
    training = [f"training.{setting}" for setting in (*sizes, "device=cpu", "epochs=1", *changes)]
    words = [word for setting in (*small, *data, f"model.head={HEAD}", *training) for word in ("--set", setting)]
    return run_cli("train", FINETUNE, "--out", out, *words, "--json")


def test_a_run_begins_with_the_trunk_keeps_it_while_frozen_and_needs_the_file_no_more(tiny, tmp_path):
    trunk = ecapa(tmp_path, **SMALL)
    theirs = torch.load(tmp_path / "peer.pt", weights_only=True)
    moved_run = finetune(tiny, trunk, tmp_path / "moved", "freeze=[]")
    assert moved_run.code == 0, moved_run.err
    frozen = finetune(tiny, trunk, tmp_path / "frozen")
    assert frozen.code == 0, frozen.err
    trunk.unlink()
    exported = {}
    for name in ("frozen", "moved"):
        out = tmp_path / f"{name}.pt"
        result = run_cli("weights", "export", tmp_path / name, "--to", "wespeaker", "--out", out)
        assert result.code == 0, result.err
        exported[name] = torch.load(out, weights_only=True)
    assert all(torch.equal(value, theirs[key]) for key, value in exported["frozen"].items())
    moved = {key: float((value - theirs[key]).abs().mean()) for key, value in exported["moved"].items()}
    assert 0 < moved["layer1.conv.weight"] < moved["linear.weight"]


def test_a_run_with_other_features_than_the_weights_expect_is_refused(tiny, tmp_path):
    trunk = ecapa(tmp_path, **{**SMALL, "embedding_dim": 24})
    assert_refused(finetune(tiny, trunk, tmp_path / "run"), "--set model.trunk.embedding_dim=24")
    assert not (tmp_path / "run").exists()
