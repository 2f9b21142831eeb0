from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.leaks import Leak, LeakType, describe_leaks, find_leaks
from vivavoce.corpus.policy import Grouping, Policy, choose_cut
from vivavoce.corpus.split import cut_rows

from .made import corpora, corpus, made

CLEAN = {
    "train": [made(f"t{n}", f"s{n % 5}", session=f"d{n % 2}", source=f"u{n}") for n in range(20)],
    "test": [made(f"v{n}", f"w{n % 5}", session=f"d{n % 2}", source=f"x{n}") for n in range(20)],
}


def types(leaks: list[Leak]) -> set[LeakType]:
    return {leak.type for leak in leaks}


def test_a_clean_pair_has_none():
    assert find_leaks(CLEAN) == []


PLANTED: dict[LeakType, tuple[Callable[[], Row], set[LeakType]]] = {
    LeakType.ID: (lambda: made("t3", "new", "new.wav"), {LeakType.ID}),
    LeakType.SPEAKER: (lambda: made("new", "s3"), {LeakType.SPEAKER}),
    LeakType.SESSION: (lambda: made("new", "s3", session="d1"), {LeakType.SPEAKER, LeakType.SESSION}),
    LeakType.FILE: (lambda: made("new", "new", "t3.wav", (5, 1)), {LeakType.FILE}),
    LeakType.SPAN: (lambda: made("new", "new", "t3.wav", (0.9, 1)), {LeakType.FILE, LeakType.SPAN}),
    LeakType.SOURCE: (lambda: made("new", "new", source="u3"), {LeakType.SOURCE}),
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("side", ["train", "test"])
def test_a_planted_leak_is_found_alone_and_named_with_both_recordings(planted, side):
    make, expected = PLANTED[planted]
    row = make()
    if side == "test":
        parts = {**CLEAN, "test": [*CLEAN["test"], row]}
    else:
        parts = {"train": [*CLEAN["test"], row], "test": CLEAN["train"]}
    leaks = find_leaks(parts)
    assert types(leaks) == expected
    leak = next(leak for leak in leaks if leak.type is planted)
    assert leak.parts == ("train", "test")
    (shared,) = leak.shared
    pair = (shared.first, shared.second) if side == "test" else (shared.second, shared.first)
    assert pair == ("t1" if planted is LeakType.SESSION and pair[0] == "t1" else "t3", row.id)
    assert row.id in leak.describe()


@pytest.mark.parametrize("first", [{"source": "t3"}, {}])
def test_a_copy_and_its_original_are_one_source(first):
    parts = {"train": [made("t3", "s1", **first)], "test": [made("copy", "s2", source="t3")]}
    assert types(find_leaks(parts)) == {LeakType.SOURCE}
    assert types(find_leaks({"train": parts["test"], "test": parts["train"]})) == {LeakType.SOURCE}


def test_equal_bytes_under_another_name_are_found(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two"), ("d", b"tw0")):
        (tmp_path / f"{name}.wav").write_bytes(content)
    a, b, c, d = (made(name, name, tmp_path / f"{name}.wav") for name in "abcd")
    (leak,) = find_leaks({"train": [a, c], "test": [b, d]})
    assert (leak.type, leak.shared[0].first, leak.shared[0].second) == (LeakType.CONTENT, "a", "b")
    assert find_leaks({"train": [a, b], "test": [c, d]}) == []
    (tmp_path / "e.wav").symlink_to(tmp_path / "a.wav")
    same = find_leaks({"train": [a], "test": [made("e", "e", tmp_path / "e.wav")]})
    assert types(same) == {LeakType.FILE, LeakType.SPAN}


def test_spans_that_touch_or_lie_on_other_channels_do_not_overlap():
    parts = {
        "train": [made("a", "s1", "x.wav", (0.0, 1.0)), made("b", "s1", "x.wav", (3.0, 1.0), channel=1)],
        "test": [made("c", "s2", "x.wav", (1.0, 2.0)), made("d", "s2", "x.wav", (3.0, 1.0))],
    }
    assert types(find_leaks(parts)) == {LeakType.FILE}


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8), st.booleans()), min_size=2, max_size=12))
def test_overlaps_are_those_of_every_pair(spans):
    rows = [(made(f"r{n}", f"s{n}", "x.wav", (begin, length)), left) for n, (begin, length, left) in enumerate(spans)]
    train, test = ([row for row, left in rows if left is side] for side in (True, False))
    found = {one.first for leak in find_leaks({"train": train, "test": test}) if leak.type is LeakType.SPAN
             for one in leak.shared}  # fmt: skip
    assert found == {
        a.id
        for a in train
        if any(a.start_s < b.start_s + b.duration_s and b.start_s < a.start_s + a.duration_s for b in test)
    }


def test_a_closed_set_shares_speakers_but_no_sessions():
    rows = corpus(8, 0)
    parts = cut_rows(rows, choose_cut(Policy.AUTO, len(rows)), Grouping.SESSION).rows
    assert find_leaks(parts, closed_set=True) == []
    leaks = find_leaks(parts)
    assert types(leaks) == {LeakType.SPEAKER}
    assert {leak.parts for leak in leaks} == {("train", "validation"), ("train", "test"), ("validation", "test")}
    moved = {**parts, "test": [*parts["test"], parts["train"][0]]}
    assert LeakType.SESSION in types(find_leaks(moved, closed_set=True))


@settings(max_examples=50)
@given(corpora(), st.randoms(use_true_random=False))
def test_what_is_found_does_not_depend_on_the_order_of_rows(rows, random):
    part = {row.id: random.random() < 0.5 for row in rows}

    def find(ordered: list[Row]) -> list[tuple]:
        sides = {str(side): [row for row in ordered if part[row.id] is side] for side in (False, True)}
        return [(leak.type, leak.parts, [one.what for one in leak.shared]) for leak in find_leaks(sides)]

    assert find(rows) == find(random.sample(rows, len(rows)))


def test_the_sentence_counts_all_and_names_three():
    parts = {"train": [made(f"a{n}", f"s{n}") for n in range(5)], "test": [made(f"b{n}", f"s{n}") for n in range(5)]}
    assert describe_leaks(find_leaks(parts)) == "5 speakers (s0 in a0 and b0, s1 in a1 and b1, s2 in a2 and b2, …)"
    one = {"train": parts["train"], "test": [made("b1", "s1", "a2.wav")]}
    text = describe_leaks(find_leaks(one))
    assert text.startswith("1 speaker (s1 in a1 and b1), 1 sound file (")
    assert text.endswith(" and 1 overlap within a sound file (a2.wav from 0.00 to 1.00 s in a2 and b1)")
    assert [leak.to_dict()["count"] for leak in find_leaks(parts)] == [5]
