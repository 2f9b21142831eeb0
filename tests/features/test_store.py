import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from vivavoce.audio import write_wav
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.features import store as store_module
from vivavoce.features.front_end import FrontEndConfig, batch_features, read_wave
from vivavoce.features.store import extract_rows, open_store
from vivavoce.signal.probe import draw_probe

from ..tiny import snapshot

CONFIG = FrontEndConfig()
PROBE = draw_probe(np.random.default_rng(3))


def record(path: Path, rate: int, seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.02, round(rate * seconds))
    if rate > 40_000:
        samples += PROBE.waveform(rate, len(samples))
    write_wav(path, samples, rate)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Three recordings at three rates."""
    rows = []
    for seed, (rate, seconds) in enumerate([(48_000, 0.8), (44_100, 0.5), (16_000, 0.6)]):
        path = tmp_path / "audio" / f"{seed}.wav"
        record(path, rate, seconds, seed)
        meta = Metadata(kind=Kind.LIVE)
        rows.append(Row(f"r{seed}", path, f"s{seed}", None, 0.0, seconds, rate, 0, meta))
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features"


@pytest.fixture
def extractions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recordings each extraction was asked for."""
    calls: list[int] = []

    def counted(rows, *args):
        calls.append(len(rows))
        return extract_rows(rows, *args)

    monkeypatch.setattr(store_module, "extract_rows", counted)
    return calls


def test_the_store_holds_what_the_front_end_gives(rows, folder):
    store = open_store(rows, CONFIG, folder, workers=1)
    waves = [read_wave(row) for row in rows]
    assert len(store) == 3
    assert store.voice.dtype == store.echo.dtype == np.float16
    assert len(store.voice) == len(store.echo) == store.frames.sum()
    for index, (voice, echo) in enumerate(batch_features(CONFIG.build(), waves)):
        span = slice(store.starts[index], store.starts[index] + store.frames[index])
        # Half precision: 11 bits.
        np.testing.assert_allclose(store.voice[span], voice, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(store.echo[span], echo, rtol=1e-3, atol=1e-3)
        assert store.quality[index] == waves[index].quality
    assert [quality.present for quality in store.quality] == [True, True, False]


def test_two_workers_give_what_one_gives(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "CHUNK", 1)
    one, two = (open_store(rows, CONFIG, tmp_path / str(n), workers=n) for n in (1, 2))
    # Alone or in a batch, in this process or another: the same within half precision.
    np.testing.assert_allclose(one.voice, two.voice, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(one.echo, two.echo, rtol=2e-3, atol=2e-3)
    assert one.quality == two.quality
    assert one.frames.tolist() == two.frames.tolist()


def test_nothing_is_done_again_where_nothing_changed(rows, folder, extractions):
    first = open_store(rows, CONFIG, folder, workers=1)
    before = snapshot(folder)
    again = open_store(rows, CONFIG, folder, workers=1)
    assert snapshot(folder) == before
    assert extractions == [3]
    np.testing.assert_array_equal(first.voice, again.voice)


def test_a_corpus_that_moved_keeps_its_features(rows, folder, extractions, tmp_path):
    open_store(rows, CONFIG, folder, workers=1)
    shutil.move(tmp_path / "audio", tmp_path / "elsewhere")
    moved = [replace(row, path=tmp_path / "elsewhere" / row.path.name) for row in rows]
    open_store(moved, CONFIG, folder, workers=1)
    assert extractions == [3]


def other_sound(rows, folder):
    """Same name, same length, same time of change: only the sound itself tells."""
    status = rows[0].path.stat()
    record(rows[0].path, 48_000, 0.8, seed=99)
    os.utime(rows[0].path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return rows, CONFIG


def other_span(rows, folder):
    return [replace(rows[0], start_s=0.1, duration_s=0.7), *rows[1:]], CONFIG


def other_tones(rows, folder):
    meta = rows[0].meta.model_copy(update={"probe_hz": PROBE.tones_hz[:4]})
    return [replace(rows[0], meta=meta), *rows[1:]], CONFIG


def other_front_end(rows, folder):
    return rows, FrontEndConfig.model_validate({"voice": {"preemphasis": 0.9}})


def other_order(rows, folder):
    return rows[::-1], CONFIG


@pytest.mark.parametrize("change", [other_sound, other_span, other_tones, other_front_end, other_order])
def test_a_stale_store_is_never_used(rows, folder, extractions, change):
    open_store(rows, CONFIG, folder, workers=1)
    changed, config = change(rows, folder)
    store = open_store(changed, config, folder, workers=1)
    assert extractions == [3, 3]
    fresh = open_store(changed, config, folder.with_name("fresh"), workers=1)
    np.testing.assert_array_equal(store.voice, fresh.voice)
    np.testing.assert_array_equal(store.echo, fresh.echo)


def without_index(folder):
    (folder / "index.json").unlink()


def cut_index(folder):
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text[: len(text) // 2])


def flipped_index(folder):
    index = json.loads((folder / "index.json").read_text())
    index["frames"][0], index["frames"][1] = index["frames"][1], index["frames"][0]
    (folder / "index.json").write_text(json.dumps(index))


def binary_index(folder):
    (folder / "index.json").write_bytes(b"\xff\x00\x81")


def foreign_index(folder):
    (folder / "index.json").write_text("[1, 2]")


def cut_array(folder):
    path = folder / "voice.npy"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_array(folder):
    (folder / "echo.npy").write_bytes(b"")


def short_array(folder):
    np.save(folder / "echo.npy", np.load(folder / "echo.npy")[:-3])


def missing_array(folder):
    (folder / "voice.npy").unlink()


DAMAGES = [
    *(without_index, cut_index, flipped_index, binary_index, foreign_index),
    *(cut_array, empty_array, short_array, missing_array),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_store_is_made_again(rows, folder, extractions, damage):
    whole = open_store(rows, CONFIG, folder, workers=1)
    voice, echo = np.array(whole.voice), np.array(whole.echo)
    damage(folder)
    mended = open_store(rows, CONFIG, folder, workers=1)
    assert extractions == [3, 3]
    np.testing.assert_array_equal(mended.voice, voice)
    np.testing.assert_array_equal(mended.echo, echo)
    assert mended.frames.tolist() == whole.frames.tolist()


@pytest.mark.parametrize("written", [0, 1, 2], ids=["at once", "between the arrays", "before the index"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(rows, folder, monkeypatch, written):
    real = npy.write_array_header_1_0
    arrays = 0

    def full(file, header):
        nonlocal arrays
        if arrays == written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        arrays += 1
        real(file, header)

    monkeypatch.setattr(npy, "write_array_header_1_0", full)
    if written == 2:
        dumps = json.dumps
        monkeypatch.setattr(store_module.json, "dumps", lambda v: full(None, None) if isinstance(v, dict) else dumps(v))
    with pytest.raises(UserError, match="The disk is full"):
        open_store(rows, CONFIG, folder, workers=1)
    assert list(folder.parent.iterdir()) == [folder.parent / "audio"]
    monkeypatch.undo()
    assert len(open_store(rows, CONFIG, folder, workers=1)) == 3


def test_a_really_full_disk_is_one_sentence_and_leaves_nothing(rows, small_disk):
    with pytest.raises(UserError, match="The disk is full"):
        open_store(rows, CONFIG, small_disk(16) / "features", workers=1)
    assert list(small_disk.path.iterdir()) == []


def test_no_recordings_and_recordings_that_are_gone_are_named(rows, folder):
    with pytest.raises(UserError, match="no recordings"):
        open_store([], CONFIG, folder)
    rows[1].path.unlink()
    with pytest.raises(UserError, match=r"1\.wav cannot be read"):
        open_store(rows, CONFIG, folder)
    assert not folder.exists()


@pytest.mark.parametrize("seconds", [0.001, 0.05])
def test_a_recording_too_short_to_learn_from_is_named(rows, folder, seconds):
    record(rows[2].path, 16_000, seconds, 0)
    short = replace(rows[2], duration_s=seconds)
    with pytest.raises(UserError, match=r"r2 .* is 0\.\d+ s long"):
        open_store([*rows[:2], short], CONFIG, folder, workers=1)
    assert not folder.exists()
