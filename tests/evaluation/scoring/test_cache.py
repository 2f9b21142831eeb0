import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.cache import EmbeddingCache, recording_keys

KEYS = [bytes([number] * 32) for number in range(3)]
VECTORS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def open_cache(folder: Path, fingerprint: str = "f" * 64) -> EmbeddingCache:
    return EmbeddingCache(folder, "run first/try", fingerprint)


@pytest.fixture
def written(tmp_path) -> EmbeddingCache:
    cache = open_cache(tmp_path / "cache")
    cache.add(KEYS, VECTORS)
    return cache


def test_what_was_kept_is_there_the_next_time(written):
    again = open_cache(written.path.parent)
    assert len(again) == 3
    for key, vector in zip(KEYS, VECTORS, strict=True):
        np.testing.assert_array_equal(again.get(key), vector)
    assert again.get(b"x" * 32) is None


def test_more_is_added_to_what_is_there(written):
    again = open_cache(written.path.parent)
    again.add([b"y" * 32, KEYS[0]], VECTORS[:2] + 1)
    third = open_cache(written.path.parent)
    assert len(third) == 4
    np.testing.assert_array_equal(third.get(KEYS[0]), VECTORS[1] + 1)
    np.testing.assert_array_equal(third.get(KEYS[2]), VECTORS[2])


def test_another_encoder_finds_nothing_and_takes_nothing_away(written):
    other = open_cache(written.path.parent, "e" * 64)
    assert len(other) == 0
    other.add(KEYS[:1], VECTORS[:1])
    assert len(open_cache(written.path.parent)) == 3


def test_the_file_of_an_encoder_whose_name_alone_is_like_ours_is_not_read(written):
    """Digits behind the sixteenth, which the file's name does not show, count too."""
    assert len(open_cache(written.path.parent, "f" * 63 + "e")) == 0


def rewritten(path: Path, change) -> None:
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, path, metadata)


SPOILED = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-4]),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "keys in another order": lambda path: rewritten(path, lambda t, _: t.update(keys=t["keys"][::-1].copy())),
    "fewer keys": lambda path: rewritten(path, lambda t, _: t.update(keys=t["keys"][:2].copy())),
    "another version": lambda path: rewritten(path, lambda _, m: m.update(version="0")),
    "no vectors": lambda path: rewritten(path, lambda t, _: t.pop("vectors")),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_file_that_is_not_whole_is_forgotten_and_written_anew(written, how):
    SPOILED[how](written.path)
    again = open_cache(written.path.parent)
    assert len(again) == 0
    again.add(KEYS, VECTORS)
    assert len(open_cache(written.path.parent)) == 3


def test_nothing_temporary_stays(written):
    assert [path.name for path in written.path.parent.iterdir()] == [written.path.name]


def row(path: Path, name: str = "a", channel: int = 0, start_s: float = 0.0, duration_s: float = 1.0) -> Row:
    return Row(name, path, "s", None, start_s, duration_s, 16_000, channel, Metadata())


def test_a_recording_is_known_by_its_sound_not_by_its_name(make_wav, tmp_path):
    path = make_wav("a.wav", 2.0, 16_000)
    copy = Path(shutil.copy(path, tmp_path / "b.wav"))
    first, second = recording_keys([row(path), row(copy, "other")])
    assert first == second
    assert len(first) == 32


def test_another_span_channel_or_content_is_another_recording(make_wav):
    path = make_wav("a.wav", 2.0, 16_000)
    whole = row(path)
    rows = [whole, replace(whole, channel=1), replace(whole, start_s=0.5), replace(whole, duration_s=0.5)]
    rows.append(row(make_wav("b.wav", 2.0, 16_000, seed=1)))
    assert len(set(recording_keys(rows))) == 5


def test_a_changed_file_is_another_recording(make_wav):
    path = make_wav("a.wav", 2.0, 16_000)
    before = recording_keys([row(path)])
    make_wav("a.wav", 2.0, 16_000, seed=1)
    assert recording_keys([row(path)]) != before


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.wav cannot be read"):
        recording_keys([row(tmp_path / "gone.wav")])
