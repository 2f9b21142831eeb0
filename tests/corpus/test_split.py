from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.manifest import read_rows
from vivavoce.corpus.metadata import Metadata
from vivavoce.corpus.split import SPLITS, split_by_speaker, write_splits
from vivavoce.errors import UserError

SEXES = {0: "F", 1: "M", 2: None}


def row(number: int, speaker: int, file: int | None = None, sex: str | None = None) -> Row:
    path = Path(f"f{number if file is None else file}.wav")
    return Row(f"r{number}", path, f"s{speaker}", None, 0.0, 1.0, 16_000, 0, Metadata(sex=sex), 16_000, 1)


@st.composite
def corpora(draw, share_files=True):
    pairs = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 200)), min_size=3, max_size=80))
    return [
        row(number, speaker, file if share_files else None, SEXES[speaker % 3])
        for number, (speaker, file) in enumerate(pairs)
    ]


fractions = st.tuples(*[st.floats(0.05, 1.0)] * 3).map(lambda parts: [part / sum(parts) for part in parts])


def split_or_none(rows, fractions, seed):
    """The split, or None where shared files leave fewer than three groups of speakers."""
    try:
        return split_by_speaker(rows, fractions, seed)
    except UserError:
        return None


@given(corpora(), fractions, st.integers(0, 2**31))
def test_disjoint_complete_and_never_empty(rows, fractions, seed):
    splits = split_or_none(rows, fractions, seed)
    assume(splits is not None)
    assert tuple(splits) == SPLITS
    assert sorted(r.id for part in splits.values() for r in part) == sorted(r.id for r in rows)
    for of in (lambda r: r.speaker, lambda r: r.path):
        sets = [{of(r) for r in part} for part in splits.values()]
        assert all(sets)
        assert sum(map(len, sets)) == len(set.union(*sets))


@given(corpora(), st.integers(0, 2**31), st.randoms())
def test_deterministic_and_independent_of_the_order_of_rows(rows, seed, random):
    first = split_or_none(rows, (0.6, 0.2, 0.2), seed)
    shuffled = random.sample(rows, len(rows))
    again = split_or_none(shuffled, (0.6, 0.2, 0.2), seed)
    assert (first is None) == (again is None)
    if first is not None and again is not None:
        for name in SPLITS:
            assert {r.id for r in first[name]} == {r.id for r in again[name]}
            assert again[name] == [r for r in shuffled if r in first[name]]


@given(st.integers(3, 60), st.integers(3, 60), fractions, st.integers(0, 2**31))
def test_shares_and_sexes(women, men, fractions, seed):
    rows = [row(n, n, sex="F" if n < women else "M") for n in range(women + men)]
    splits = split_by_speaker(rows, fractions, seed)
    for name, fraction in zip(SPLITS, fractions, strict=True):
        wanted = fraction * len(rows)
        assert abs(len(splits[name]) - wanted) < 2 or len(splits[name]) == 1
        for sex, total in (("F", women), ("M", men)):
            share = sum(r.meta.sex == sex for r in splits[name])
            assert abs(share - fraction * total) <= 3


def test_exact_shares():
    splits = split_by_speaker([row(n, n, sex="FM"[n % 2]) for n in range(40)])
    assert [len(splits[name]) for name in SPLITS] == [24, 8, 8]
    assert [sum(r.meta.sex == "F" for r in splits[name]) for name in SPLITS] == [12, 4, 4]


def test_another_seed_gives_another_split():
    rows = [row(n, n) for n in range(40)]
    tests = {frozenset(r.id for r in split_by_speaker(rows, seed=seed)["test"]) for seed in range(10)}
    assert len(tests) > 8


def test_three_speakers_are_enough():
    splits = split_by_speaker([row(n, n % 3) for n in range(9)], (0.98, 0.01, 0.01))
    assert [len(splits[name]) for name in SPLITS] == [3, 3, 3]


def test_too_few_speakers():
    with pytest.raises(UserError, match=r"at least 3 speakers .* there are 2; import more"):
        split_by_speaker([row(n, n % 2) for n in range(9)])
    shared = [row(0, 0, 0), row(1, 1, 0), row(2, 1, 1), row(3, 2, 1), row(4, 3)]
    with pytest.raises(UserError, match="there are 4 in 2 groups that share no sound file"):
        split_by_speaker(shared)


@pytest.mark.parametrize("wrong", [(0.5, 0.5, 0.0), (0.6, 0.2, 0.3), (0.5, 0.5), (1.2, -0.1, -0.1)])
def test_wrong_fractions(wrong):
    with pytest.raises(UserError, match="three positive numbers"):
        split_by_speaker([row(n, n) for n in range(9)], wrong)


def test_written_splits_are_manifests_all_or_none(tmp_path, make_wav, monkeypatch):
    make_wav("f0.wav")
    rows = [Row(**(row(n, n).__dict__ | {"path": tmp_path / "f0.wav"})) for n in range(3)]
    splits = {name: [r] for name, r in zip(SPLITS, rows, strict=True)}
    paths = write_splits(splits, tmp_path / "out")
    assert {name: read_rows(path) for name, path in paths.items()} == splits

    calls = []

    def full(rows, file, folder):
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        file.write_text("part")

    monkeypatch.setattr("vivavoce.corpus.split.save_rows", full)
    with pytest.raises(UserError, match="disk is full"):
        write_splits(splits, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
