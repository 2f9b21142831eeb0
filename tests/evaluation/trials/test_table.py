import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.table import LABELS, NONTARGET, TARGET, Trial, Trials, check_classes

NAMES = st.sampled_from("abcdef")
SOME = st.lists(
    st.builds(Trial, st.lists(NAMES, min_size=1, max_size=3).map(tuple), NAMES, st.sampled_from(LABELS)), max_size=30
)


def _row(name: str, speaker: str) -> Row:
    return Row(name, Path(name), speaker, None, 0.0, 3.0, 48_000, 0, Metadata())


@given(SOME)
def test_a_table_is_the_list_it_was_made_of(listed: list[Trial]) -> None:
    table = Trials.of(listed)
    assert list(table) == listed
    assert len(table) == len(listed)
    assert [table[i] for i in range(-len(listed), len(listed))] == [*listed, *listed]
    assert table.labels.tolist() == [trial.label for trial in listed]
    assert table == Trials.of(list(table)) == pickle.loads(pickle.dumps(table))
    assert Trials.of(table) is table


@given(SOME, st.data())
def test_parts_are_the_parts_of_the_list(listed: list[Trial], data: st.DataObject) -> None:
    table = Trials.of(listed)
    start, stop, step = (data.draw(st.integers(-9, 9)) for _ in range(3))
    cut = slice(start, stop, step or None)
    assert list(table[cut]) == listed[cut]
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(listed), max_size=len(listed))), dtype=bool)
    kept = table.take(mask)
    assert list(kept) == [trial for trial, keep in zip(listed, mask, strict=True) if keep]
    assert set(kept.tests) == {trial.test for trial in kept}, "no recording that no trial names"
    assert set(kept.enrolments) == {trial.enrol for trial in kept}
    order = data.draw(st.lists(st.integers(0, len(listed) - 1), max_size=9) if listed else st.just([]))
    assert list(table.take(order)) == [listed[i] for i in order]


@given(SOME, SOME)
def test_tables_are_equal_exactly_where_their_lists_are(one: list[Trial], other: list[Trial]) -> None:
    assert (Trials.of(one) == Trials.of(other)) == (one == other)
    assert Trials.of(one) != one


@given(SOME)
def test_classes_are_told_apart(listed: list[Trial]) -> None:
    table = Trials.of(listed)
    kinds = [trial.label for trial in listed]
    assert table.is_target.tolist() == [kind == TARGET for kind in kinds]
    assert table.is_nontarget.tolist() == [kind == NONTARGET for kind in kinds]
    assert table.is_spoof.tolist() == [kind not in (TARGET, NONTARGET) and Kind(kind).is_spoof for kind in kinds]
    assert table.counts == {label: kinds.count(label) for label in LABELS if label in kinds}


def test_a_table_cannot_be_changed() -> None:
    table = Trials.of([Trial(("a",), "b", TARGET)])
    with pytest.raises(ValueError, match="read-only"):
        table.label[0] = 1
    with pytest.raises(AttributeError):
        table.tests = ("c",)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": [0, 2]}, "from 0 to 1"),
        ({"enrolment": [-1, 0]}, "from 0 to 0"),
        ({"label": [[0, 1]]}, "one column"),
        ({"label": [0]}, "have"),
        ({"tests": ("b", "b")}, "not distinct"),
        ({"drawn": [0, 9]}, "drawn"),
        ({"speakers": ("x", "y")}, "2 speakers for 1 enrolments"),
        ({"test_speakers": ("x",)}, "1 test_speakers for 2 tests"),
    ],
)
def test_columns_that_do_not_fit_are_refused(changes: dict, words: str) -> None:
    fitting = {"enrolments": [("a",)], "tests": ("b", "c"), "enrolment": [0, 0], "test": [0, 1], "label": [0, 1]}
    assert len(Trials(**fitting)) == 2
    with pytest.raises(ValueError, match=words):
        Trials(**{**fitting, **changes})


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="friend"):
        Trials.of([Trial(("a",), "b", "friend")])


def test_speakers_come_from_the_manifest_and_are_numbered() -> None:
    rows = [_row(name, name[0]) for name in ("a1", "a2", "a3", "b1", "b2", "c1")]
    trials = Trials.of(
        [
            Trial(("a1", "a2"), "a3", TARGET),
            Trial(("a1", "a2"), "b2", NONTARGET),
            Trial(("b1",), "b2", TARGET),
            Trial(("b1",), "c1", NONTARGET),
        ]
    )
    known = trials.with_speakers(rows)
    assert (known.speakers, known.test_speakers) == (("a", "b"), ("a", "b", "c"))
    enrolled, tested, count = known.speaker_codes()
    names = np.array(["a", "b", "c"])
    assert count == 3
    assert names[enrolled].tolist() == ["a", "a", "b", "b"]
    assert names[tested].tolist() == ["a", "b", "b", "c"]
    _, tested, count = known.take([0, 1]).speaker_codes()
    assert (tested.tolist(), count) == ([0, 1], 2), "only those of these trials"


def test_unknown_speakers_are_told_by_their_enrolments() -> None:
    trials = Trials.of(
        [
            Trial(("a1",), "a2", TARGET),
            Trial(("b1",), "a2", NONTARGET),
            Trial(("a1",), "stranger", NONTARGET),
            Trial(("b1",), "replay", "replay_stand"),
        ]
    )
    enrolled, tested, count = trials.speaker_codes()
    assert count == 3
    assert enrolled.tolist() == [0, 1, 0, 1]
    assert tested.tolist() == [0, 0, 2, 1], "a test is its target's, an attack its victim's, else nobody's"


def test_strange_recordings_and_mixed_enrolments_are_refused() -> None:
    rows = [_row("a1", "ann"), _row("b1", "bob")]
    with pytest.raises(UserError, match="names ghost, which the manifest does not hold"):
        Trials.of([Trial(("a1",), "ghost", TARGET)]).with_speakers(rows)
    with pytest.raises(UserError, match="ann and bob"):
        Trials.of([Trial(("a1", "b1"), "a1", TARGET)]).with_speakers(rows)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((NONTARGET, "tts"), "no target trial"),
        ((TARGET, "probe_absent"), "no non-target or attack trial"),
        ((), "no target trial"),
    ],
)
def test_one_class_alone_is_refused(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_classes(Trials.of(Trial(("a",), f"{number}", label) for number, label in enumerate(labels)))
    check_classes(Trials.of([Trial(("a",), "b", TARGET), Trial(("a",), "c", "tts")]))
