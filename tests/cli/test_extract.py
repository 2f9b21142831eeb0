import json
import shutil
from pathlib import Path

import pytest
import yaml

from vivavoce.corpus.manifest import read_rows, write_rows

from ..tiny import Tiny, assert_refused, run_cli, snapshot, unchanged

AUGMENT = ("--set", "features.augment.noise={probability: 1.0}", "--set", "features.augment.speed={}")
AS_SPOKEN = ("--set", "training.speed_factors=[1.0]")


def losses(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def both(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the training and the validation recordings."""
    manifest = tmp_path_factory.mktemp("both") / "both.jsonl"
    write_rows([*read_rows(tiny.train), *read_rows(tiny.validation)], manifest)
    return manifest


@pytest.fixture(scope="module")
def store(both: Path) -> Path:
    """A store of these, without augmentation."""
    store = both.parent / "store"
    result = run_cli("extract", both, "--out", store, "--workers", 1, "--json")
    assert result.code == 0, result.err
    assert result.json["store"] == str(store)
    assert result.json["recordings"] == result.json["slots"] == len(read_rows(both))
    assert result.json["bytes"] == sum(size for size, _ in snapshot(store).values())
    assert "MB of features" in result.err
    return store


def test_people_get_the_size_in_words_and_the_same_command_does_nothing_again(both, store):
    with unchanged(store):
        result = run_cli("extract", both, "--out", store)
    assert result.code == 0
    assert f"{len(read_rows(both))} recordings" in " ".join(result.out.split())


def test_training_on_a_users_store_gives_the_losses_of_the_runs_own(tiny, store, tmp_path):
    with unchanged(store):
        result = run_cli("train", tiny.config, "--out", tmp_path / "run", "--set", f"features.store={store}")
    assert result.code == 0, result.err
    assert losses(tmp_path / "run") == losses(tiny.run)
    assert not (tmp_path / "run" / "features").exists()


def test_training_online_without_augmentation_gives_the_losses_of_offline_training(tiny, tmp_path):
    words = ("--set", "features.mode=online", "--set", "features.where=device")
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", *words)
    assert result.code == 0, result.err
    assert losses(tmp_path / "run") == losses(tiny.run)
    assert not (tmp_path / "run" / "features" / "train").exists()


@pytest.mark.slow
def test_a_run_that_augments_online_is_repeated_and_resumed_exactly(tiny, tmp_path, monkeypatch):
    from vivavoce.training.trainer import Trainer

    words = ("--set", "features={mode: online, where: device, augment: {noise: {probability: 1.0}, speed: {}}}")
    words = ("train", tiny.config, *words, *AS_SPOKEN, "--out")
    assert run_cli(*words, tmp_path / "whole").code == 0
    assert losses(tmp_path / "whole")[0] != losses(tiny.run)[0]
    save = Trainer._save

    def save_and_die(self):
        save(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save", save_and_die)
    assert run_cli(*words, tmp_path / "stopped").code != 0
    monkeypatch.undo()
    assert len(losses(tmp_path / "stopped")) == 2
    # The recordings are not heard a second time for what is already known of them.
    monkeypatch.setattr("vivavoce.training.features.make_all", None)
    result = run_cli(*words, tmp_path / "stopped", "--resume", "--set", "training.workers=2")
    assert result.code == 0, result.err
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_a_run_with_augmented_copies_makes_its_own_store(tiny, tmp_path):
    words = (*AUGMENT, *AS_SPOKEN, "--set", "features.copies=2")
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", *words, "--set", "training.epochs=1")
    assert result.code == 0, result.err
    record = json.loads((tmp_path / "run" / "features" / "train" / "store.json").read_text())
    assert record["spec"]["copies"] == 2
    validation = json.loads((tmp_path / "run" / "features" / "validation" / "store.json").read_text())
    assert validation["spec"]["copies"] == 1


def test_copies_and_seed_of_the_command_line_are_the_stores(tiny, both, tmp_path):
    words = (
        "extract",
        both,
        *AUGMENT,
        "--copies",
        2,
        "--seed",
        7,
        "--workers",
        1,
        "--set",
        "training.speed_factors=[1.0]",
    )
    result = run_cli(*words, "--out", tmp_path / "store", "--json")
    assert result.code == 0, result.err
    assert result.json["slots"] == 2 * result.json["recordings"]
    training = ("train", tiny.config, "--out", tmp_path / "run", "--set", f"features.store={tmp_path / 'store'}")
    same = (
        *AUGMENT,
        "--set",
        "features.copies=2",
        "--set",
        "training.speed_factors=[1.0]",
        "--set",
        "training.epochs=1",
    )
    assert_refused(run_cli(*training, *same), "is stale", "seed is 7 there and 0 here")
    assert not (tmp_path / "run").exists()
    assert run_cli(*training, *same, "--set", "features.seed=7").code == 0


def test_the_config_of_an_experiment_says_how_to_extract(tiny, tmp_path):
    tree = yaml.safe_load(tiny.config.read_text())
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({**tree, "front_end": {"voice": {"preemphasis": 0.9}}}))
    assert run_cli("extract", tiny.train, "--config", config, "--out", tmp_path / "store").code == 0
    used = ("train", tiny.config, "--out", tmp_path / "run", "--set", f"features.store={tmp_path / 'store'}")
    assert_refused(run_cli(*used), "is stale", "front_end.voice.preemphasis is 0.9 there and 0.97 here")
    assert not (tmp_path / "run").exists()


def test_a_store_that_cannot_be_used_is_refused_by_training(tiny, store, tmp_path):
    def refused(folder: Path, *parts: str) -> None:
        result = run_cli("train", tiny.config, "--out", tmp_path / "run", "--set", f"features.store={folder}")
        assert_refused(result, *parts)
        assert not (tmp_path / "run").exists()

    refused(tmp_path / "nowhere", "holds no store of features", "vivavoce extract")
    half = Path(shutil.copytree(store, tmp_path / "half"))
    record = half / "store.json"
    record.write_text(record.read_text().replace('"whole": true', '"whole": false'))
    refused(half, "store.json is damaged or missing")
    damaged = Path(shutil.copytree(store, tmp_path / "damaged"))
    frames = damaged / "shard-00000.echo.f16"
    content = bytearray(frames.read_bytes())
    content[len(content) // 3] ^= 4
    frames.write_bytes(content)
    refused(damaged, "shard-00000.echo.f16 is damaged or missing", "run the same extraction again")


def test_a_store_of_part_of_the_recordings_is_refused(tiny, tmp_path):
    part = tmp_path / "part.jsonl"
    write_rows(read_rows(tiny.train)[3:], part)
    assert run_cli("extract", part, "--out", tmp_path / "store", "--workers", 1).code == 0
    result = run_cli("train", tiny.config, "--out", tmp_path / "run", "--set", f"features.store={tmp_path / 'store'}")
    assert_refused(result, "it lacks 3 of the", read_rows(tiny.train)[0].id)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["features.copies=2"], ["features", "copies would all be the same"]),
        (["features.augment.noise={}"], ["features", "augment needs copies of 2 or more offline"]),
        (["features.mode=online", "features.store=somewhere"], ["features", "store belongs to mode offline"]),
        (["features.mode=online", "features.copies=2"], ["features", "copies belongs to mode offline"]),
        (["features.where=device"], ["features", "where belongs to mode online"]),
        (["features.prefetch=4"], ["features", "prefetch belongs to mode online"]),
        (["features.mode=sometimes"], ["features.mode", "'offline' or 'online'"]),
        (["features.mode=online", "features.augment.speed={}"], ["features.augment.speed", "training.speed_factors"]),
        (["front_end.deltas=1"], ["training.speed_factors warps log-mel features", "set it to [1.0]"]),
        (["training.speaker_sampler.type=alphabetical"], ["training.speaker_sampler", "alphabetical"]),
    ],
    ids=lambda value: value[0] if "=" in value[0] else "",
)
def test_settings_that_cannot_be_meant_are_refused(tiny, tmp_path, overrides, parts):
    words = [word for override in overrides for word in ("--set", override)]
    assert_refused(run_cli("train", tiny.config, "--out", tmp_path / "run", *words), *parts)
    assert list(tmp_path.iterdir()) == []


def test_extracting_nothing_or_into_something_else_is_refused(tiny, tmp_path):
    assert_refused(run_cli("extract", tmp_path / "none.jsonl", "--out", tmp_path / "store"), "does not exist")
    (tmp_path / "thesis.txt").write_text("years of work")
    with unchanged(tmp_path):
        assert_refused(run_cli("extract", tiny.train, "--out", tmp_path), "is not empty and holds no store")
        assert_refused(run_cli("extract", tiny.train, "--out", tmp_path / "thesis.txt"), "thesis.txt is a file")
        assert_refused(run_cli("extract", tiny.train, "--out", tmp_path / "s", "--copies", 3), "all be the same")
