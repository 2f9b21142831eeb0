import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vivavoce.corpus.cuts import Row
from vivavoce.errors import UserError
from vivavoce.features import extract as extract_module
from vivavoce.features import plan as plan_module
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.extract import extract_store, make
from vivavoce.features.extractor import Extractor
from vivavoce.features.folder import UnusableStore
from vivavoce.features.front_end import FrontEndConfig, batch_features, read_wave
from vivavoce.features.offline import holds, load_store, open_store
from vivavoce.features.spec import StoreSpec
from vivavoce.features.store import FeatureStore

from ..tiny import snapshot
from .recordings import PROBE, make_recordings, record

CONFIG = FrontEndConfig()
AUGMENT = AugmentConfig.model_validate({"speed": {}, "noise": {"probability": 1.0}, "volume": {}})
AUGMENTED = StoreSpec(CONFIG, AUGMENT, copies=3, seed=5)
CONFIG_SPEC = StoreSpec(CONFIG)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Three recordings at three rates."""
    return make_recordings(tmp_path / "audio", [(48_000, 0.8), (44_100, 0.5), (16_000, 0.6)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features"


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard for each recording or two."""
    monkeypatch.setattr(plan_module, "SHARD_BYTES", 12_000)


@pytest.fixture
def extractions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the recordings that features were computed of."""
    calls: list[str] = []

    def counted(extractor, spec, row):
        calls.append(row.id)
        return make(extractor, spec, row)

    monkeypatch.setattr(extract_module, "make", counted)
    return calls


def assert_equal(one: FeatureStore, other: FeatureStore) -> None:
    """The same to the last bit."""
    for name in ("voice", "echo", "starts", "frames", "speeds"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.quality == other.quality
    assert one.copies == other.copies


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


def test_two_workers_give_what_one_gives_to_the_last_byte(rows, tmp_path, monkeypatch, small_shards):
    monkeypatch.setattr(extract_module, "CHUNK", 1)
    one, two = (tmp_path / str(workers) for workers in (1, 2))
    assert_equal(open_store(rows, AUGMENTED, one, workers=1), open_store(rows, AUGMENTED, two, workers=2))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


def test_features_of_a_recording_do_not_depend_on_what_is_beside_it(rows, tmp_path):
    together = open_store(rows, AUGMENTED, tmp_path / "together", workers=1)
    for item in (2, 0):
        alone = open_store([rows[item]], AUGMENTED, tmp_path / str(item), workers=1)
        assert_equal(alone, select_and_flatten(together, item))


def select_and_flatten(store: FeatureStore, item: int) -> FeatureStore:
    part = store.select(np.array([item]))
    spans = [slice(start, start + count) for start, count in zip(part.starts, part.frames, strict=True)]
    voice, echo = (np.concatenate([array[span] for span in spans]) for array in (part.voice, part.echo))
    starts = np.cumsum(part.frames) - part.frames
    return FeatureStore(voice, echo, starts, part.frames, part.quality, part.copies, part.speeds)


def test_the_first_copy_is_the_recording_as_it_is_and_the_others_are_not(rows, tmp_path):
    plain = open_store(rows, CONFIG, tmp_path / "plain", workers=1)
    copies = open_store(rows, AUGMENTED, tmp_path / "copies", workers=1)
    assert len(copies) == len(plain) == 3
    assert len(copies.starts) == 9
    for item, (voice, echo) in enumerate(copies.originals()):
        assert np.array_equal(voice, plain.voice_of(item))
        assert np.array_equal(echo, plain.echo_of(item))
    first = copies.first_copies()
    assert (first.copies, first.frames.tolist()) == (1, plain.frames.tolist())
    augmented = copies.speeds.reshape(3, 3)[:, 1:]
    assert set(copies.speeds[::3]) == {1.0}
    assert set(augmented.ravel()) <= {1.0, 0.9, 1.1}
    for slot in range(9):
        span = slice(copies.starts[slot], copies.starts[slot] + copies.frames[slot])
        original = plain.voice[plain.starts[slot // 3] : plain.starts[slot // 3] + plain.frames[slot // 3]]
        assert abs(len(copies.voice[span]) * copies.speeds[slot] - len(original)) <= 2
        assert np.array_equal(copies.voice[span], original) == (slot % 3 == 0)


def test_many_at_once_are_the_same_within_half_precision(rows):
    """As on a GPU, whose rounding depends on the batch anyway."""
    extractor = Extractor(CONFIG, AUGMENT)
    waves, seeds = [read_wave(row) for row in rows], np.arange(3)
    for one, other in zip(extractor.versions(waves, seeds), extractor._together(waves, seeds), strict=True):
        np.testing.assert_allclose(one.voice, other.voice, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(one.echo, other.echo, rtol=2e-3, atol=2e-3)
        assert one[2:] == other[2:]


def test_nothing_is_done_again_where_nothing_changed(rows, folder, extractions):
    first = open_store(rows, CONFIG, folder, workers=1)
    before = snapshot(folder)
    again = open_store(rows, CONFIG, folder, workers=1)
    assert snapshot(folder) == before
    assert extractions == ["r0", "r1", "r2"]
    np.testing.assert_array_equal(first.voice, again.voice)


def test_a_corpus_that_moved_keeps_its_features(rows, folder, extractions, tmp_path):
    open_store(rows, CONFIG, folder, workers=1)
    shutil.move(tmp_path / "audio", tmp_path / "elsewhere")
    moved = [replace(row, path=tmp_path / "elsewhere" / row.path.name) for row in rows]
    open_store(moved, CONFIG, folder, workers=1)
    assert extractions == ["r0", "r1", "r2"]


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
    assert sorted(extractions) == sorted(["r0", "r1", "r2"] * 2)
    assert_equal(store, open_store(changed, config, folder.with_name("fresh"), workers=1))


def without_record(folder):
    (folder / "store.json").unlink()


def cut_record(folder):
    text = (folder / "store.json").read_text()
    (folder / "store.json").write_text(text[: len(text) // 2])


def changed_record(folder):
    record = json.loads((folder / "store.json").read_text())
    record["edges"][1] -= 1
    (folder / "store.json").write_text(json.dumps(record))


def binary_record(folder):
    (folder / "store.json").write_bytes(b"\xff\x00\x81")


def foreign_record(folder):
    (folder / "store.json").write_text("[1, 2]")


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def flipped_record(folder):
    flip(folder / "store.json", 0.5)


def flipped_recordings(folder):
    flip(folder / "recordings.index", 0.5)


def flipped_index(folder):
    flip(folder / "shard-00000.index", 0.4)


def cut_index(folder):
    path = folder / "shard-00000.index"
    path.write_bytes(path.read_bytes()[:100])


def first_byte(folder):
    flip(folder / "shard-00000.voice.f16", 0.0)


def last_byte(folder):
    flip(folder / "shard-00000.echo.f16", 1.0)


def cut_shard(folder):
    path = folder / "shard-00000.voice.f16"
    path.write_bytes(path.read_bytes()[:-2])


def empty_shard(folder):
    (folder / "shard-00000.echo.f16").write_bytes(b"")


def longer_shard(folder):
    path = folder / "shard-00000.echo.f16"
    path.write_bytes(path.read_bytes() + b"\0\0")


def missing_shard(folder):
    (folder / "shard-00000.voice.f16").unlink()


DAMAGES = [
    *(without_record, cut_record, changed_record, binary_record, foreign_record, flipped_record, flipped_recordings),
    *(flipped_index, cut_index, first_byte, last_byte, cut_shard, empty_shard, longer_shard, missing_shard),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_store_is_refused_in_one_sentence_and_the_same_extraction_mends_it(rows, folder, damage):
    extract_store(rows, AUGMENTED, folder, workers=1)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder)
    with pytest.raises(UnusableStore, match=r"damaged or missing|holds no store") as refused:
        load_store(rows, AUGMENTED, folder)
    assert str(refused.value).count(". ") == 0
    extract_store(rows, AUGMENTED, folder, workers=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    load_store(rows, AUGMENTED, folder)


@pytest.mark.parametrize("damage", [first_byte, cut_record], ids=lambda damage: damage.__name__)
def test_a_damaged_store_of_our_own_is_made_again(rows, folder, damage):
    whole = open_store(rows, CONFIG, folder, workers=1)
    kept = FeatureStore(np.array(whole.voice), np.array(whole.echo), whole.starts, whole.frames, whole.quality)
    damage(folder)
    mended = open_store(rows, CONFIG, folder, workers=1)
    np.testing.assert_array_equal(mended.voice, kept.voice)
    np.testing.assert_array_equal(mended.echo, kept.echo)
    assert mended.frames.tolist() == kept.frames.tolist()


def test_only_the_damaged_shard_is_made_again(rows, folder, small_shards, extractions):
    extract_store(rows, CONFIG_SPEC, folder, workers=1)
    assert len(list(folder.glob("shard-*.index"))) >= 2
    flip(folder / "shard-00000.voice.f16", 0.3)
    extractions.clear()
    extract_store(rows, CONFIG_SPEC, folder, workers=1)
    assert "r0" in extractions
    assert "r2" not in extractions


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        (replace(AUGMENTED, seed=6), "seed is 5 there and 6 here"),
        (replace(AUGMENTED, copies=4), "copies is 3 there and 4 here"),
        (
            replace(AUGMENTED, augment=AugmentConfig.model_validate({"speed": {}, "noise": {}, "volume": {}})),
            "augment.noise.probability is 1.0 there and 0.5 here",
        ),
        (
            replace(AUGMENTED, front_end=FrontEndConfig.model_validate({"voice": {"preemphasis": 0.9}})),
            "front_end.voice.preemphasis is 0.97 there and 0.9 here",
        ),
    ],
    ids=["seed", "copies", "augment", "front end"],
)
def test_a_store_made_in_another_way_is_refused_by_what_differs(rows, folder, spec, part):
    extract_store(rows, AUGMENTED, folder, workers=1)
    before = snapshot(folder)
    with pytest.raises(UnusableStore, match=part):
        load_store(rows, spec, folder)
    with pytest.raises(UserError, match=part):
        extract_store(rows, spec, folder, workers=1)
    assert snapshot(folder) == before


def test_seed_and_augmentation_do_not_matter_to_a_store_without_augmented_copies(rows, folder):
    extract_store(rows, replace(AUGMENTED, copies=1), folder, workers=1)
    assert len(load_store(rows, StoreSpec(CONFIG, seed=8), folder)) == 3


def test_a_sound_that_changed_is_named_and_only_its_shard_made_again(rows, folder, small_shards, extractions):
    extract_store(rows, AUGMENTED, folder, workers=1)
    other_sound(rows, folder)
    with pytest.raises(UnusableStore, match=r"the sound of .*0\.wav has changed"):
        load_store(rows, AUGMENTED, folder)
    extractions.clear()
    extract_store(rows, AUGMENTED, folder, workers=1)
    assert "r2" not in extractions
    fresh = open_store(rows, AUGMENTED, folder.with_name("fresh"), workers=1)
    assert_equal_features(load_store(rows, AUGMENTED, folder), fresh)


def assert_equal_features(one: FeatureStore, other: FeatureStore) -> None:
    for mine, theirs in zip(one.originals(), other.originals(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_file_that_was_touched_is_read_once_and_then_known(rows, folder, monkeypatch):
    from vivavoce.features import sources

    extract_store(rows, CONFIG_SPEC, folder, workers=1)
    rows[1].path.touch()
    read: list[Path] = []
    digest = sources.content_digest
    monkeypatch.setattr(sources, "content_digest", lambda path: (read.append(path), digest(path))[1])
    for _ in range(2):
        load_store(rows, CONFIG_SPEC, folder)
    assert read == [rows[1].path]


def test_a_part_of_a_store_serves_a_part_of_its_recordings_in_any_order(rows, folder, small_shards):
    extract_store(rows, AUGMENTED, folder, workers=1)
    whole = load_store(rows, AUGMENTED, folder)
    part = load_store([rows[2], rows[0]], AUGMENTED, folder)
    assert len(part) == 2
    assert part.copies == 3
    assert_equal_features(part, whole.select(np.array([2, 0])))
    assert part.quality[0] == whole.quality[2]
    assert holds(folder, rows[:1])
    other = replace(rows[0], id="somebody-else")
    assert not holds(folder, [other])
    with pytest.raises(UnusableStore, match="it lacks 1 of the 2 recordings of the manifest, somebody-else first"):
        load_store([rows[1], other], AUGMENTED, folder)


def test_another_manifest_is_not_extracted_into_a_store(rows, folder):
    extract_store(rows, CONFIG_SPEC, folder, workers=1)
    with pytest.raises(UserError, match="of other recordings"):
        extract_store(rows[:2], CONFIG_SPEC, folder, workers=1)
    with pytest.raises(UnusableStore, match=r"gives r0 another channel, span or probe"):
        load_store(other_span(rows, folder)[0], CONFIG_SPEC, folder)


def test_a_folder_with_something_else_is_left_alone(rows, folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not empty and holds no store"):
        extract_store(rows, CONFIG_SPEC, folder, workers=1)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(UnusableStore, match="holds no store"):
        load_store(rows, CONFIG_SPEC, folder)


@pytest.mark.parametrize("written", [0, 1, 2, 3], ids=["voice", "echo", "index", "record"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(rows, folder, monkeypatch, written):
    names = ("voice.f16", "echo.f16", "shard-00000.index", "store.json")
    real_open, seen = Path.open, []

    def full(self: Path, mode: str = "r", *args, **kwargs):
        if "w" in mode and self.name.endswith(names[written]):
            seen.append(self.name)
            # The record is written when the store is begun, too.
            if written < 3 or any(folder.glob("shard-*.index")):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match="The disk is full"):
        open_store(rows, CONFIG, folder, workers=1)
    assert seen
    if written < 3:
        assert list(folder.parent.iterdir()) == [folder.parent / "audio"]
    else:
        with pytest.raises(UnusableStore, match="half-written"):
            load_store(rows, CONFIG_SPEC, folder)
    monkeypatch.undo()
    assert len(open_store(rows, CONFIG, folder, workers=1)) == 3


def test_a_disk_without_enough_room_is_refused_before_anything_is_computed(rows, small_disk, extractions):
    disk = small_disk(16)
    with pytest.raises(UserError, match=r"The disk is full: the features need about 0\.\d MB"):
        open_store(rows, CONFIG, disk / "features", workers=1)
    assert list(disk.iterdir()) == []
    assert extractions == []


def test_a_disk_that_fills_on_the_way_keeps_what_is_done(rows, small_disk, monkeypatch, small_shards, extractions):
    disk = small_disk(100)
    monkeypatch.setattr(extract_module, "_check_room", lambda *_: None)
    spec = replace(AUGMENTED, copies=2)
    with pytest.raises(UserError, match="The disk is full"):
        extract_store(rows, spec, disk / "features", workers=1)
    left = sorted(path.name for path in (disk / "features").iterdir())
    assert "shard-00000.index" in left
    assert not [name for name in left if name.startswith(".")]
    with pytest.raises(UnusableStore, match="half-written"):
        load_store(rows, spec, disk / "features")
    small_disk.resize(1000)
    extractions.clear()
    extract_store(rows, spec, disk / "features", workers=1)
    assert "r0" not in extractions
    fresh = open_store(rows, spec, disk.parent / "fresh", workers=1)
    assert_equal_features(load_store(rows, spec, disk / "features"), fresh)


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


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from vivavoce.features import extract, plan

plan.SHARD_BYTES = 12_000
made = []
make = extract.make

def make_and_die(extractor, spec, row):
    made.append(row.id)
    if len(made) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return make(extractor, spec, row)

extract.make = make_and_die
rows, spec = pickle.loads(Path(sys.argv[1]).read_bytes())
extract.extract_store(rows, spec, Path(sys.argv[2]), workers=1)
"""


def test_a_killed_extraction_goes_on_to_the_same_bytes(rows, folder, tmp_path, small_shards, extractions):
    task = tmp_path / "task.pickle"
    task.write_bytes(pickle.dumps((rows, AUGMENTED)))
    command = [sys.executable, "-c", KILLED, task, folder, "3"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    names = [path.name for path in folder.iterdir()]
    assert "shard-00000.index" in names
    assert [name for name in names if name.startswith(".tmp-")]  # killed in the middle of a shard
    with pytest.raises(UnusableStore, match="half-written"):
        load_store(rows, AUGMENTED, folder)
    extract_store(rows, AUGMENTED, folder, workers=1)
    assert extractions == ["r2"]
    extract_store(rows, AUGMENTED, tmp_path / "whole", workers=1)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes(), path.name
    assert len(list(folder.iterdir())) == len(list((tmp_path / "whole").iterdir()))


def test_two_extractions_into_one_folder_do_not_meet(rows, folder, monkeypatch):
    def second(*args):
        with pytest.raises(UserError, match="Another process is extracting features into"):
            extract_store(rows, CONFIG_SPEC, folder, workers=1)
        return make(*args)

    monkeypatch.setattr(extract_module, "make", second)
    extract_store(rows, CONFIG_SPEC, folder, workers=1)
    assert len(load_store(rows, CONFIG_SPEC, folder)) == 3


def test_the_estimate_is_near_the_size_that_comes_out(rows, folder):
    estimates = []
    extract_store(rows, AUGMENTED, folder, workers=1, announce=estimates.append)
    size = sum(path.stat().st_size for path in folder.glob("*.f16"))
    (estimate,) = estimates
    assert (estimate.recordings, estimate.slots) == (3, 9)
    assert 0.85 * size < estimate.bytes < 1.2 * size
