import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from vivavoce.corpus.leaks import find_leaks
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.metadata import Kind

from ..corpus.made import made
from ..tiny import Result, Tiny, assert_refused, run_cli, unchanged

QUIET = "--no-near-duplicates"


@pytest.fixture
def corpus(tmp_path, make_wav) -> Path:
    """Ten speakers of two sexes with four sessions each; two recordings a session, one of them a replay."""
    rows = []
    for speaker in range(10):
        for session in range(4):
            for take, kind in enumerate((Kind.LIVE, Kind.REPLAY_STAND)):
                name = f"s{speaker}-{session}-{take}"
                path = make_wav(f"wav/{name}.wav", 0.2, 16_000, seed=len(rows))
                meta = {"session": f"d{session}", "kind": kind, "sex": "FM"[speaker % 2]}
                rows.append(made(name, f"s{speaker}", path, **meta))
    return save(rows, tmp_path)


def save(rows, folder: Path) -> Path:
    write_rows(rows, folder / "corpus.jsonl.gz")
    return folder / "corpus.jsonl.gz"


def split(*words: object) -> Result:
    result = run_cli("split", *words)
    assert result.code == 0, result.err
    return result


def parts(folder: Path, names=("train", "validation", "test")) -> dict[str, list]:
    return {name: read_rows(folder / f"{name}.jsonl.gz") for name in names}


def test_people_get_a_line_a_part_then_the_reason_and_the_advice(corpus, tmp_path):
    lines = split(corpus, "--out", tmp_path / "out", QUIET).out.splitlines()
    assert lines[:3] == [
        f"train: 48 recordings of 6 speakers: {tmp_path}/out/train.jsonl.gz",
        f"validation: 16 recordings of 2 speakers: {tmp_path}/out/validation.jsonl.gz",
        f"test: 16 recordings of 2 speakers: {tmp_path}/out/test.jsonl.gz",
    ]
    assert "60:20:20" in lines[3]
    assert "80 recordings" in lines[3]
    assert "--folds 5" in lines[4]


def test_json_tells_the_policy_the_sizes_and_the_shares(corpus, tmp_path):
    printed = split(corpus, "--out", tmp_path / "out", "--json", "--seed", 3, QUIET).json
    assert (printed["policy"], printed["recordings"], printed["speakers"], printed["groups"]) == (
        "three-way",
        80,
        10,
        10,
    )
    assert printed["copies"] is None
    assert printed["seed"] == 3
    assert printed["parts"]["test"] == {
        "manifest": str(tmp_path / "out" / "test.jsonl.gz"),
        "recordings": 16,
        "speakers": 2,
    }
    assert printed["shares"]["train"] == pytest.approx(
        {"all": 0.6, "kind=live": 0.6, "kind=replay_stand": 0.6, "sex=F": 0.6, "sex=M": 0.6}
    )
    assert find_leaks(parts(tmp_path / "out")) == []


def test_sessions_are_split_within_each_speaker(corpus, tmp_path):
    split(corpus, "--out", tmp_path / "out", "--group", "session", QUIET)
    found = parts(tmp_path / "out")
    assert find_leaks(found, closed_set=True) == []
    assert all({row.speaker for row in rows} == {f"s{n}" for n in range(10)} for rows in found.values())
    assert [len(rows) for rows in found.values()] == [40, 20, 20]  # 2, 1 and 1 of each speaker's four sessions


def test_holdout_is_train_and_test_alone(corpus, tmp_path):
    result = split(corpus, "--out", tmp_path / "out", "--policy", "holdout", QUIET)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test.jsonl.gz", "train.jsonl.gz"]
    assert [len(rows) for rows in parts(tmp_path / "out", ("train", "test")).values()] == [64, 16]
    assert "without validation" in result.out


def test_fractions_and_few_hyperparameters(corpus, tmp_path):
    split(corpus, "--out", tmp_path / "a", "--fractions", 0.4, 0.3, 0.3, QUIET)
    split(corpus, "--out", tmp_path / "b", "--few-hyperparameters", QUIET)
    speakers = {
        name: [len({row.speaker for row in rows}) for rows in parts(tmp_path / name).values()] for name in ("a", "b")
    }
    assert speakers == {"a": [4, 3, 3], "b": [7, 1, 2]}


def test_folds_are_folders_with_an_index(corpus, tmp_path):
    printed = split(corpus, "--out", tmp_path / "out", "--folds", 5, "--json", QUIET).json
    assert [fold["fold"] for fold in printed["folds"]] == list(range(5))
    assert printed["parts"] == {}
    tested = [row.id for fold in range(5) for row in parts(tmp_path / "out" / f"fold-{fold}")["test"]]
    assert sorted(tested) == sorted(row.id for row in read_rows(corpus))
    for fold in range(5):
        assert find_leaks(parts(tmp_path / "out" / f"fold-{fold}")) == []
    assert json.loads((tmp_path / "out" / "folds.json").read_text())["folds"] == 5
    again = split(corpus, "--out", tmp_path / "out", "--folds", 5, QUIET)
    assert "fold 4, test: 16 recordings of 2 speakers" in again.out


def babble(path: Path, seed: int, seconds: float = 3.0) -> np.ndarray:
    """Gliding tones that come and go, as nobody else's do."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(16_000 * seconds)) / 16_000
    wave = 0.001 * rng.standard_normal(len(time_s))
    for _ in range(12):
        glide_hz = rng.uniform(200, 3000) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(1, 6) * time_s))
        on = np.sin(2 * np.pi * rng.uniform(0.5, 4) * time_s + rng.uniform(0, 6)) > 0
        wave += 0.02 * on * np.sin(2 * np.pi * np.cumsum(glide_hz) / 16_000)
    sf.write(path, wave, 16_000)
    return wave


def test_copies_of_one_sound_stay_together_and_their_speakers_are_named(tmp_path):
    rows = []
    for speaker in range(8):
        for take in range(3):
            path = tmp_path / f"s{speaker}-{take}.wav"
            wave = babble(path, seed=10 * speaker + take)
            rows.append(made(path.stem, f"s{speaker}", path, (0, 3.0)))
            if speaker == 0:  # quieter and trimmed, under another name
                sf.write(tmp_path / f"copy-{take}.flac", 0.3 * wave[3_000:], 16_000)
                rows.append(made(f"copy-{take}", "double", tmp_path / f"copy-{take}.flac", (0, 45_000 / 16_000)))
    manifest = save(rows, tmp_path)
    found = split(manifest, "--out", tmp_path / "heard", "--json").json
    assert found["copies"] == 3
    assert (found["speakers"], found["groups"]) == (9, 8)
    assert any("1 pair of speakers stay together" in note for note in found["notes"])
    for seed in range(4):
        split(manifest, "--out", tmp_path / "heard", "--seed", seed)
        homes = [{row.speaker for row in own} & {"s0", "double"} for own in parts(tmp_path / "heard").values()]
        assert {"s0", "double"} in homes
    deaf = split(manifest, "--out", tmp_path / "deaf", "--json", QUIET).json
    assert (deaf["copies"], deaf["groups"]) == (None, 9)


def test_a_manifest_in_a_folder_that_cannot_be_written_is_split_all_the_same(tiny: Tiny, tmp_path, monkeypatch):
    def refuse(manifest: Path) -> Path:
        return tmp_path / "no" / "such" / "folder" / "state.sqlite"

    monkeypatch.setattr("vivavoce.copies.default_state", refuse)
    kept = split(tiny.folder / "corpus.jsonl.gz", "--out", tmp_path / "out", "--json").json
    monkeypatch.undo()
    assert kept["copies"] == split(tiny.folder / "corpus.jsonl.gz", "--out", tmp_path / "out", "--json").json["copies"]


def test_much_sound_is_not_listened_to_unasked(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("vivavoce.splitting.UNASKED_S", 10.0)
    result = split(corpus, "--out", tmp_path / "out", "--json").json
    assert result["copies"] is None
    assert any("--near-duplicates does" in note for note in result["notes"])
    assert split(corpus, "--out", tmp_path / "out", "--json", "--near-duplicates").json["copies"] is not None


def test_a_rare_kind_that_a_part_lacks_is_said(corpus, tmp_path):
    rows = read_rows(corpus)
    rare = [made(row.id, row.speaker, row.path, **{**row.meta.model_dump(), "kind": Kind.TTS}) for row in rows[1:2]]
    manifest = save([rows[0], *rare, *rows[2:]], tmp_path)
    notes = split(manifest, "--out", tmp_path / "out", "--json", QUIET).json["notes"]
    assert sum("holds no tts." in note for note in notes) == 2


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--folds", 2], ["2 folds are too few"]),
        (["--folds", 11], ["Cutting into 11 folds needs at least 11 speakers", "there are 10"]),
        (["--folds", 5, "--group", "session"], ["needs at least 5 sessions of every speaker", "s0 has 4"]),
        (["--policy", "holdout", "--folds", 5], ["--folds does not go with --policy holdout"]),
        (["--fractions", 0.8, 0, 0.2], ["three positive numbers"]),
        (["--fractions", 0.5, 0.3, 0.3], ["three positive numbers"]),
        (["--folds", 5, "--fractions", 0.6, 0.2, 0.2], ["--fractions does not go with folds"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(corpus, tmp_path, words, parts):
    with unchanged(tmp_path):
        assert_refused(run_cli("split", corpus, "--out", tmp_path / "out", QUIET, "--json", *words), *parts)
    assert not (tmp_path / "out").exists()


def test_too_few_speakers_and_no_class_in_a_part_are_refused(corpus, tmp_path):
    rows = read_rows(corpus)
    two = save([row for row in rows if row.speaker in ("s0", "s1")], tmp_path)
    assert_refused(run_cli("split", two, "--out", tmp_path / "out"), "at least 3 speakers", "there are 2")
    one = [row for row in rows if row.meta.kind is Kind.LIVE or row.speaker == "s0"]
    assert_refused(run_cli("split", save(one, tmp_path), "--out", tmp_path / "out"), "would have no attacks")
    bare = [made(row.id, row.speaker, row.path) for row in rows]
    words = ("split", save(bare, tmp_path), "--out", tmp_path / "out", "--group", "session")
    assert_refused(run_cli(*words), "name no session")
    assert not (tmp_path / "out").exists()


def test_parts_of_another_split_are_not_left_beside_the_new_ones(corpus, tmp_path):
    split(corpus, "--out", tmp_path / "out", QUIET)
    with unchanged(tmp_path / "out"):
        words = ("split", corpus, "--out", tmp_path / "out", QUIET)
        assert_refused(run_cli(*words, "--policy", "holdout"), "validation.jsonl.gz of another split")
        assert_refused(run_cli(*words, "--folds", 3), "of another split")
    split(corpus, "--out", tmp_path / "folds", "--folds", 4, QUIET)
    with unchanged(tmp_path / "folds"):
        assert_refused(run_cli("split", corpus, "--out", tmp_path / "folds", "--folds", 3, QUIET), "fold-3")
        assert_refused(run_cli("split", corpus, "--out", tmp_path / "folds", QUIET), "fold-0")
    shutil.rmtree(tmp_path / "folds")
    split(corpus, "--out", tmp_path / "folds", QUIET)
