"""Extraction into a store: planned in shards, made on all cores, resumable, the same bits however it was made."""

import hashlib
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.features.extractor import Extracted, Extractor, hear
from vivavoce.features.folder import STREAMS, ShardIndex, StoreFolder, UnusableStore
from vivavoce.features.plan import Estimate, Plan, make_plan
from vivavoce.features.sources import content_digest, first_changed, stamp
from vivavoce.features.spec import StoreSpec
from vivavoce.features.store import Qualities
from vivavoce.files import TEMPORARY, append_to, atomic_path
from vivavoce.pool import ordered, spawn_pool
from vivavoce.progress import progress_bar
from vivavoce.settings import differences

# Recordings a worker takes at a time: enough to keep hand-overs rare, few enough to keep all workers busy to the end.
CHUNK = 16
LOCK = ".lock"


class Made(NamedTuple):
    """All versions of one recording, and of which content of which file they are."""

    versions: list[Extracted]
    content: bytes
    stamp: tuple[int, int, int]


def extract_store(
    rows: Sequence[Row],
    spec: StoreSpec,
    folder: Path,
    workers: int = 2,
    *,
    replace: bool = False,
    announce: Callable[[Estimate], None] = lambda estimate: None,
) -> Plan:
    """Extract the features of ``rows`` into ``folder``.

    An extraction that was killed goes on with the shards it lacks. A store that is whole is verified, and only what is
    damaged or stale in it made again. The result is the same to the last bit, whatever the number of workers.

    Args:
        rows: the recordings.
        spec: how their features are made.
        folder: where they go.
        workers: processes; 1: this one.
        replace: delete a store that was made in another way or of other recordings, where it would be refused.
        announce: told what it will take before anything is computed or written.

    Raises:
        UserError: there are no recordings, one cannot be used, the folder holds something else, or the disk has not
            enough room.
    """
    if not rows:
        raise UserError(f"There are no recordings to extract features of into {folder}; check the manifest.")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder to keep the features in.")
    plan = make_plan(rows, spec)
    announce(plan.estimate)
    place = StoreFolder(folder)
    with _alone(folder):
        _claim(place, plan, replace)
        try:
            _extract(place, plan, workers)
        except BaseException:
            # Finished shards are kept; without a single one the folder is of no use to anybody.
            if not any(place.index(shard).exists() for shard in range(plan.estimate.shards)):
                _clear(place)
            raise
    return plan


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it when the process ends, however it ends.

    Raises:
        UserError: another process extracts into it, or it cannot be written.
    """
    lock = folder / LOCK
    with append_to(lock) as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"Another process is extracting features into {folder}; wait until it has ended, or choose another "
                "folder."
            ) from error
        except (ImportError, OSError):  # this system, or this disk, has no such locks
            pass
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, as it should be
                folder.rmdir()


def _claim(place: StoreFolder, plan: Plan, replace: bool) -> None:
    """Make the folder hold the beginning of this very store, or check that it does."""
    try:
        record = place.read_record()
    except UnusableStore as error:
        # Shards say themselves which store they belong to, so that a damaged record costs none of them.
        if not replace and not place.record.exists() and _foreign(place):
            raise UserError(
                f"{place.path} is not empty and holds no store of features; choose an empty folder."
            ) from error
    else:
        differs = next(iter(differences(record.spec, plan.spec.described())), None)
        if differs is None and record.key != plan.key:
            differs = "it is of other recordings, channels, spans or probes"
        if differs and not replace:
            raise UserError(
                f"{place.path} holds other features: {differs}; choose another folder, or go back to the settings "
                "and the manifest that it was made with."
            )
        if differs:
            _clear(place)
        elif record.whole:
            return
    if replace and _foreign(place):
        _clear(place)
    _remove_leftovers(place, plan)
    place.write_recordings([row.id for row in plan.rows], plan.spans)
    place.write_record(plan.record(whole=False))


def _extract(place: StoreFolder, plan: Plan, workers: int) -> None:
    """Make the shards that are missing, damaged or stale, and say that the store is whole."""
    open_shards = [shard for shard in range(plan.estimate.shards) if not _is_finished(place, plan, shard, workers)]
    if open_shards:
        place.write_record(plan.record(whole=False))
        _check_room(place, plan, open_shards)
        todo = [row for shard in open_shards for row in plan.members(shard)]
        bar = progress_bar("Extracting features", len(plan.rows))
        with bar as advance, closing(make_all(todo, plan.spec, workers)) as results:
            advance(len(plan.rows) - len(todo))
            for shard in open_shards:
                _write_shard(place, plan, shard, islice(results, len(plan.members(shard))), advance)
    if open_shards or not _is_whole(place):
        place.write_recordings([row.id for row in plan.rows], plan.spans)
        place.write_record(plan.record(whole=True))


def _is_whole(place: StoreFolder) -> bool:
    try:
        place.read_recordings()
        return place.read_record().whole
    except UnusableStore:
        return False


def _is_finished(place: StoreFolder, plan: Plan, shard: int, workers: int) -> bool:
    """Whether a shard is there, undamaged, of this store, and of sound files that are still the same."""
    if not place.index(shard).exists():
        return False
    rows = plan.members(shard)
    try:
        index = place.read_shard(shard)
        if index.key != plan.key or len(index.content) != len(rows):
            return False
        place.verify([(shard, index)], plan.channels, workers)
    except UnusableStore:
        return False
    return first_changed(rows, index.content, index.stamps, workers) is None


def _check_room(place: StoreFolder, plan: Plan, shards: Sequence[int]) -> None:
    share = sum(len(plan.members(shard)) for shard in shards) / len(plan.rows)
    needed, free = plan.estimate.bytes * share, shutil.disk_usage(place.path).free
    if needed > free:
        raise UserError(
            f"The disk is full: the features need about {needed / 1e6:,.1f} MB and {place.path} has "
            f"{free / 1e6:,.1f} MB; free some space, and run the same command again."
        )


def _write_shard(
    place: StoreFolder, plan: Plan, shard: int, results: Iterable[Made], advance: Callable[[int], None]
) -> None:
    """Write the frames as they come, then the index that makes the shard count."""
    place.index(shard).unlink(missing_ok=True)
    versions: list[tuple[int, float]] = []
    qualities, content, stamps = [], [], []
    digests = [hashlib.sha256() for _ in STREAMS]
    with ExitStack() as stack:
        paths = [stack.enter_context(atomic_path(place.frames(shard, stream))) for stream in STREAMS]
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for made in results:
            for one in made.versions:
                versions.append((len(one.voice), one.speed))
                for file, digest, frames in zip(files, digests, (one.voice, one.echo), strict=True):
                    values = np.ascontiguousarray(frames).data
                    file.write(values)
                    digest.update(values)
            qualities.append(made.versions[0].probe.quality)
            content.append(made.content)
            stamps.append(made.stamp)
            advance(1)
    index = ShardIndex(
        key=plan.key,
        frames=np.array([frames for frames, _ in versions], dtype=np.int64),
        speeds=np.array([speed for _, speed in versions], dtype=np.float64),
        quality=Qualities.collect(qualities),
        content=np.frombuffer(b"".join(content), dtype=np.uint8).reshape(-1, 32),
        stamps=np.array(stamps, dtype=np.int64),
        checksums=np.stack([np.frombuffer(digest.digest(), dtype=np.uint8) for digest in digests]),
    )
    place.write_shard(shard, index)


def make_all(rows: Sequence[Row], spec: StoreSpec, workers: int) -> Generator[Made, None, None]:
    """Yield all versions of each recording in order, made by ``workers`` processes; 1: by this one.

    Raises:
        UserError: a recording cannot be used.
    """
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    if workers < 2 or len(chunks) < 2:
        extractor = Extractor(spec.front_end, spec.augment)
        yield from (make(extractor, spec, row) for row in rows)
        return
    pool = spawn_pool(min(workers, len(chunks)), _start_worker, spec)
    try:
        for _, results in ordered(pool, _work, chunks, 2 * workers, "worker that computes features"):
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def make(extractor: Extractor, spec: StoreSpec, row: Row) -> Made:
    """Read a recording and compute all versions of it: as it is first, then the augmented ones.

    Raises:
        UserError: the recording cannot be used.
    """
    seen = stamp(row.path)
    content = _content_of(row.path, seen)
    wave = hear(row)
    augmented = extractor.versions([wave] * (spec.copies - 1), spec.seeds(row)) if spec.copies > 1 else []
    return Made([extractor.original(wave), *augmented], content, seen)


@lru_cache(maxsize=64)
def _content_of(path: Path, seen: tuple[int, int, int]) -> bytes:
    """SHA-256 of a file, once for all of its spans."""
    return content_digest(path)


_worker: tuple[Extractor, StoreSpec] | None = None


def _start_worker(spec: StoreSpec) -> None:
    global _worker
    _worker = Extractor(spec.front_end, spec.augment), spec


def _work(chunk: Sequence[Row]) -> list[Made]:
    assert _worker is not None
    return [make(*_worker, row) for row in chunk]


def _foreign(place: StoreFolder) -> bool:
    """Whether the folder holds anything that is not a store's."""
    ours = ("store.json", "recordings.index", "stamps.npy", LOCK)
    return place.path.is_dir() and any(
        path.name not in ours and not path.name.startswith(("shard-", TEMPORARY)) for path in place.path.iterdir()
    )


def _remove_leftovers(place: StoreFolder, plan: Plan) -> None:
    """Remove what a killed process had half written, and shards beyond our last."""
    shards = {path for shard in range(plan.estimate.shards) for path in place.files(shard)}
    for left in [*place.path.glob(f"{TEMPORARY}*"), *(set(place.path.glob("shard-*")) - shards)]:
        left.unlink(missing_ok=True)


def _clear(place: StoreFolder) -> None:
    """Remove everything but the lock."""
    for path in place.path.glob("*"):
        if path.name != LOCK:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
