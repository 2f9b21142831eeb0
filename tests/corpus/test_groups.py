import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.groups import UnionFind, group_rows, source_of, unit_of
from vivavoce.corpus.policy import Grouping

from .made import corpora, made


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_joined_items_are_connected_and_others_are_not(pairs):
    joined: UnionFind[int] = UnionFind(range(31))
    reach = np.eye(31, dtype=bool)
    for first, second in pairs:
        joined.join(first, second)
        reach[first, second] = reach[second, first] = True
    for middle in range(31):
        reach |= reach[:, [middle]] & reach[[middle]]
    for first in range(31):
        for second in range(31):
            assert (joined.root(first) == joined.root(second)) == reach[first, second]
    assert sorted(item for group in joined.groups() for item in group) == list(range(31))


@given(corpora(), st.sampled_from(Grouping), st.randoms(use_true_random=False))
def test_groups_keep_together_what_belongs_together_and_do_not_depend_on_the_order(rows, by, random):
    linked = [tuple(random.sample([row.id for row in rows], 2)) for _ in range(3)]
    group = dict(zip((row.id for row in rows), group_rows(rows, by, linked).tolist(), strict=True))
    assert set(group.values()) == set(range(len(set(group.values()))))
    seen: dict[object, int] = {}
    for row in rows:
        for key in (unit_of(row, by), row.path, ("id", row.id), *([("id", source_of(row))] if source_of(row) else [])):
            assert seen.setdefault(key, group[row.id]) == group[row.id]
    assert all(group[first] == group[second] for first, second in linked)
    shuffled = random.sample(rows, len(rows))
    assert group_rows(shuffled, by, linked).tolist() == [group[row.id] for row in shuffled]


def test_only_what_is_joined_is_joined():
    rows = [made("a", "s1"), made("b", "s2", "a.wav"), made("c", "s3", source="b"), made("d", "s4"), made("e", "s5")]
    assert group_rows(rows).tolist() == [0, 0, 0, 1, 2]
    assert group_rows(rows, linked=[("e", "d")]).tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="No row has the id ghost"):
        group_rows(rows, linked=[("a", "ghost")])


def test_a_session_counts_within_its_speaker():
    rows = [made(f"r{n}", f"s{n % 2}", session=f"d{n // 2 % 2}") for n in range(8)]
    assert group_rows(rows, Grouping.SESSION).tolist() == [0, 2, 1, 3, 0, 2, 1, 3]
    assert group_rows(rows).tolist() == [0, 1] * 4


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "same").symlink_to(tmp_path)
    rows = [made("a", "s1", tmp_path / "a.wav"), made("b", "s2", tmp_path / "b.wav")]
    rows.append(made("c", "s3", tmp_path / "same" / "a.wav"))
    assert group_rows(rows).tolist() == [0, 0, 0]
