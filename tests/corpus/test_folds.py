import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.folds import FILE, arrange_folds, check_fold, fold_manifests, read_folds, write_folds
from vivavoce.corpus.leaks import find_leaks
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.policy import Grouping, Policy, choose_cut
from vivavoce.corpus.split import cut_rows
from vivavoce.errors import UserError

from .made import corpus, made


@settings(max_examples=25)
@given(st.integers(3, 7), st.integers(7, 20), st.sampled_from(Grouping), st.integers(0, 2**31))
def test_each_recording_is_tested_once_validated_once_and_never_trained_on_then(folds, speakers, by, seed):
    rows = [made(f"{s}-{d}", f"s{s}", session=f"d{d}") for s in range(speakers) for d in range(7)]
    parts = cut_rows(rows, choose_cut(Policy.KFOLD, len(rows), folds=folds), by, seed)
    arranged = arrange_folds(rows, parts)
    assert len(arranged) == folds
    for role in ("test", "validation"):
        assert sorted(row.id for fold in arranged for row in fold[role]) == sorted(row.id for row in rows)
    for number, fold in enumerate(arranged):
        assert sorted(row.id for own in fold.values() for row in own) == sorted(row.id for row in rows)
        assert fold["validation"] == arranged[(number + 1) % folds]["test"]
        assert find_leaks(fold, closed_set=by is Grouping.SESSION) == []
        for own in fold.values():
            kept = {row.id for row in own}
            assert own == [row for row in rows if row.id in kept]


@pytest.fixture
def rows(make_wav) -> list[Row]:
    path = make_wav("a.wav", seconds=0.1)
    rows = []
    for row in corpus(6, 0, recordings=2, sessions=2):
        copy = path.with_name(f"{row.id}.wav")
        copy.symlink_to(path)
        rows.append(made(row.id, row.speaker, copy))
    return rows


def test_a_folder_of_folds_says_what_it_is_of_and_is_read_again(tmp_path, rows):
    manifest = tmp_path / "corpus.jsonl"
    write_rows(rows, manifest)
    cut = choose_cut(Policy.KFOLD, len(rows), folds=3)
    # Links to one file would join everybody; here each stands for a file of its own.
    parts = cut_rows([made(row.id, row.speaker) for row in rows], cut, seed=4)
    paths = write_folds(arrange_folds(rows, parts), tmp_path / "folds", manifest, cut, Grouping.SPEAKER, 4)
    assert paths == [fold_manifests(tmp_path / "folds", fold) for fold in range(3)]
    assert sorted(row.id for fold in paths for row in read_rows(fold["test"])) == sorted(row.id for row in rows)
    index = read_folds(tmp_path / "folds")
    assert (index.folds, index.seed, index.group, index.policy) == (3, 4, Grouping.SPEAKER, "kfold")
    assert (index.manifest, index.recordings, index.speakers) == (str(manifest), len(rows), 6)
    assert len(json.loads((tmp_path / "folds" / FILE).read_text())["sha256"]) == 64
    check_fold(index, tmp_path, 2)
    for wrong in (3, -1):
        with pytest.raises(UserError, match=rf"There is no fold {wrong} in .*; its folds are 0 to 2\."):
            check_fold(index, tmp_path, wrong)


def test_folds_that_cannot_be_written_leave_those_that_are_there(tmp_path, rows, monkeypatch):
    manifest = tmp_path / "corpus.jsonl"
    write_rows(rows, manifest)
    cut = choose_cut(Policy.KFOLD, len(rows), folds=3)
    folds = arrange_folds(rows, cut_rows([made(row.id, row.speaker) for row in rows], cut))
    write_folds(folds, tmp_path / "folds", manifest, cut, Grouping.SPEAKER, 0)
    before = {path: path.read_bytes() for path in (tmp_path / "folds").rglob("*") if path.is_file()}

    def full(rows, file, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vivavoce.corpus.split.save_rows", full)
    with pytest.raises(UserError, match="disk is full"):
        write_folds(folds[::-1], tmp_path / "folds", manifest, cut, Grouping.SPEAKER, 0)
    assert {path: path.read_bytes() for path in (tmp_path / "folds").rglob("*") if path.is_file()} == before


def test_a_folder_without_folds_or_with_a_damaged_index_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no folds .*vivavoce split --folds"):
        read_folds(tmp_path)
    for text in ("", "{}", '{"folds": 2}', "\xff"):
        (tmp_path / FILE).write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match="is damaged"):
            read_folds(tmp_path)
