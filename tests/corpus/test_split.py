from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.groups import group_rows, source_of, unit_of
from vivavoce.corpus.leaks import find_leaks
from vivavoce.corpus.manifest import read_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.corpus.policy import Grouping, Policy, choose_cut
from vivavoce.corpus.split import SPLITS, cut_rows, same_content, split_by_speaker, write_splits
from vivavoce.errors import UserError

from .made import corpora as any_corpora
from .made import corpus, made

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


def cut_or_none(rows, cut, by, seed=0, linked=()):
    """The parts, or None where there are too few groups for what every part must have."""
    try:
        return cut_rows(rows, cut, by, seed, linked)
    except UserError:
        return None


CUTS = (
    choose_cut(Policy.AUTO, 1000),
    choose_cut(Policy.AUTO, 1_000_000),
    choose_cut(Policy.HOLDOUT, 1000),
    choose_cut(Policy.KFOLD, 1000, folds=3),
    choose_cut(Policy.KFOLD, 1000, folds=4),
    choose_cut(Policy.AUTO, 1000, fractions=(0.4, 0.3, 0.3)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(any_corpora(), st.sampled_from(CUTS), st.sampled_from(Grouping), st.integers(0, 2**31), st.randoms())
def test_no_cut_leaks_and_none_leaves_a_part_without_what_it_needs(rows, cut, by, seed, random):
    linked = [tuple(random.sample([r.id for r in rows], 2))]
    parts = cut_or_none(rows, cut, by, seed, linked)
    assume(parts is not None)
    assert tuple(parts.rows) == cut.parts
    assert sorted(r.id for own in parts.rows.values() for r in own) == sorted(r.id for r in rows)
    part = {r.id: name for name, own in parts.rows.items() for r in own}
    for key in (lambda r: unit_of(r, by), lambda r: r.path):
        seen = {}
        assert all(seen.setdefault(key(r), part[r.id]) == part[r.id] for r in rows)
    for r in rows:
        if source := source_of(r):
            assert part[source] == part[r.id]
    assert part[linked[0][0]] == part[linked[0][1]]
    assert find_leaks(parts.rows, closed_set=by is Grouping.SESSION) == []
    for classes in ({Kind.LIVE}, {*Kind} - {Kind.LIVE}):
        if {r.meta.kind for r in rows} - classes and {r.meta.kind for r in rows} & classes:
            assert all({r.meta.kind for r in own} & classes for own in parts.rows.values())
    if by is Grouping.SESSION:
        assert all({r.speaker for r in own} == {r.speaker for r in rows} for own in parts.rows.values())


@settings(max_examples=30)
@given(any_corpora(), st.sampled_from(CUTS), st.sampled_from(Grouping), st.integers(0, 2**31), st.randoms())
def test_a_cut_does_not_depend_on_the_order_of_rows_and_keeps_it(rows, cut, by, seed, random):
    first = cut_or_none(rows, cut, by, seed)
    shuffled = random.sample(rows, len(rows))
    again = cut_or_none(shuffled, cut, by, seed)
    assert (first is None) == (again is None)
    if first is not None and again is not None:
        for name, own in first.rows.items():
            kept = {r.id for r in own}
            assert [r.id for r in again.rows[name]] == [r.id for r in shuffled if r.id in kept]


@settings(max_examples=30)
@given(st.integers(3, 12), st.integers(3, 6), st.integers(0, 2**31))
def test_enough_sessions_always_put_every_speaker_into_every_part(speakers, sessions, seed):
    rows = [
        made(f"{s}-{d}-{t}", f"s{s}", session=f"d{d}", kind=(Kind.LIVE, Kind.TTS)[t])
        for s in range(speakers)
        for d in range(sessions)
        for t in range(2)
    ]
    parts = cut_rows(rows, choose_cut(Policy.AUTO, len(rows)), Grouping.SESSION, seed)
    for own in parts.rows.values():
        assert {r.speaker for r in own} == {f"s{s}" for s in range(speakers)}
    assert sum(map(len, parts.rows.values())) == len(rows)


def test_speakers_are_shared_out_as_before_where_nothing_can_be_more_even():
    rows = [row(n, n, sex="FM"[n % 2]) for n in range(40)]
    parts = cut_rows(rows, choose_cut(Policy.AUTO, len(rows)), seed=7)
    assert parts.rows == split_by_speaker(rows, seed=7)
    assert parts.worst()[-1] == pytest.approx(0, abs=1e-12)


def test_another_seed_gives_another_cut():
    rows = corpus(40, 0)
    cut = choose_cut(Policy.AUTO, len(rows))
    for by in Grouping:
        tests = {frozenset(r.id for r in cut_rows(rows, cut, by, seed).rows["test"]) for seed in range(10)}
        assert len(tests) > 8


def test_a_speaker_with_most_recordings_does_not_stop_the_others():
    rows = [made(f"r{n}", f"s{max(0, n - 60)}") for n in range(80)]
    parts = cut_rows(rows, choose_cut(Policy.AUTO, len(rows)))
    assert sum(len({r.speaker for r in own}) for own in parts.rows.values()) == 20
    assert min(len({r.speaker for r in own}) for own in parts.rows.values()) >= 3


def one_of(kind: Kind, *speakers: int) -> list[Row]:
    """Ten speakers; only these have recordings of this kind."""
    return [made(f"r{n}", f"s{n}", kind=kind if n in speakers else Kind.LIVE) for n in range(10)]


@pytest.mark.parametrize(
    ("rows", "cut", "by", "part"),
    [
        (one_of(Kind.TTS, 1, 2), CUTS[0], Grouping.SPEAKER, "would have no attacks, which only 2 of the speakers have"),
        (one_of(Kind.TTS, 1, 2, 3), CUTS[4], Grouping.SPEAKER, "of the folds would have no attacks"),
        (one_of(Kind.TTS, 1, 2, 3)[:3], CUTS[4], Grouping.SPEAKER, "Cutting into 4 folds needs at least 4 speakers"),
        (one_of(Kind.TTS, 1), CUTS[0], Grouping.SESSION, "10 recordings name no session, r0 among them"),
        (corpus(4, 0, sessions=2), CUTS[0], Grouping.SESSION, "s0 has 2"),
        (corpus(4, 0, sessions=3), CUTS[4], Grouping.SESSION, "at least 4 sessions of every speaker"),
    ],
)
def test_what_cannot_be_cut_is_said_in_one_sentence(rows, cut, by, part):
    with pytest.raises(UserError, match=part) as caught:
        cut_rows(rows, cut, by)
    assert str(caught.value).endswith(".")
    assert ". " not in str(caught.value)


def test_sessions_that_share_files_can_leave_no_way():
    rows = [made(f"a{n}", "ann", f"{n}.wav", session=f"d{n}") for n in range(3)]
    rows += [made(f"b{n}", "bob", f"{n}.wav", session=f"d{n}") for n in range(3)]
    parts = cut_rows(rows, CUTS[0], Grouping.SESSION)
    assert [len(own) for own in parts.rows.values()] == [2, 2, 2]
    with pytest.raises(UserError, match="at least 3 sessions of every speaker"):
        cut_rows(rows, CUTS[0], Grouping.SESSION, linked=[("a0", "b1")])


def test_equal_bytes_under_two_names_are_pairs(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two"), ("d", b"one")):
        (tmp_path / f"{name}.wav").write_bytes(content)
    rows = [made(name, name, tmp_path / f"{name}.wav") for name in "dcba"]
    rows.append(made("e", "e", tmp_path / "a.wav"))
    pairs = same_content(rows)
    assert sorted(pairs) == [("a", "b"), ("a", "d")]
    assert group_rows(rows, linked=pairs).tolist() == [0, 1, 0, 0, 0]
