from pathlib import Path

import numpy as np
import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.corpus.sampling import Items
from vivavoce.errors import UserError


def row(number, **meta):
    return Row(f"r{number}", Path("a.wav"), f"s{number}", None, 0.0, 1.5 + number, 16_000, 0, Metadata(**meta))


def test_rows_give_their_columns():
    items = Items.of_rows([row(0, kind="tts", device="x", room="hall"), row(1, sex="F")])
    assert items.speakers.tolist() == ["s0", "s1"]
    assert items.kinds.tolist() == ["tts", "live"]
    assert items.lengths.tolist() == [1.5, 2.5]
    assert items.column("speaker") is items.speakers
    assert items.column("kind") is items.kinds
    assert items.column("room").tolist() == ["hall", None]
    assert items.column("sex").tolist() == [None, "F"]
    assert sorted(items.columns) == ["device", "room", "sex"]


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(UserError, match=r"'microphone'.*device, kind, speaker"):
        Items.of_rows([row(0, device="x")]).column("microphone")


def test_columns_are_of_one_length():
    with pytest.raises(ValueError, match="shape"):
        Items(np.arange(3), np.array(["live"] * 3), np.ones(2))
    with pytest.raises(ValueError, match="shape"):
        Items(np.arange(3), np.array(["live"] * 3), np.ones(3), {"x": np.ones((3, 1))})
