"""Offline features: a store is opened when it is whole and still tells of these recordings, and else refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vivavoce.corpus.manifest import Row
from vivavoce.errors import UserError
from vivavoce.features.extract import extract_store
from vivavoce.features.folder import STREAMS, Record, ShardIndex, StoreFolder, UnusableStore
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.features.sources import first_changed, stamps
from vivavoce.features.spec import StoreSpec, span_digests
from vivavoce.features.store import FeatureStore, Qualities, Shards
from vivavoce.settings import differences


def open_store(rows: Sequence[Row], how: StoreSpec | FrontEndConfig, folder: Path, workers: int = 2) -> FeatureStore:
    """Read the features of ``rows`` from ``folder``; extract them first where they are missing, stale or damaged.

    For folders of our own, such as a run's: what is stale there is made again without asking.

    Args:
        rows: the recordings.
        how: how the features are made; a front end alone: one copy, nothing augmented.
        folder: where the store is, or will be.
        workers: processes that extract.

    Raises:
        UserError: there are no recordings, one of them cannot be used, or the disk is full.
    """
    spec = how if isinstance(how, StoreSpec) else StoreSpec(how)
    if not rows:
        raise UserError(f"There are no recordings to extract features of into {folder}; check the manifest.")
    if StoreFolder(folder).record.exists():
        try:
            return load_store(rows, spec, folder, workers, exactly=True)
        except UnusableStore:
            pass
    extract_store(rows, spec, folder, workers, replace=True)
    return load_store(rows, spec, folder, workers, exactly=True)


def load_store(
    rows: Sequence[Row], spec: StoreSpec, folder: Path, workers: int = 2, *, exactly: bool = False
) -> FeatureStore:
    """Open a whole store and take the features of ``rows`` from it, in their order.

    Every byte of the features is compared with its checksum. A sound file is read again only where its size or times
    have changed since extraction.

    Args:
        rows: recordings that the store must hold, known by their ids; it may hold others too.
        spec: how the features must have been made.
        folder: the store.
        workers: threads that read files.
        exactly: the store must hold these recordings and no others, in this order.

    Raises:
        UnusableStore: there is no store, or it is half-written, damaged, made in another way, or of other recordings
            or other sound than these.
    """
    place = StoreFolder(folder)
    record = place.read_record()
    if not record.whole:
        raise UnusableStore(
            f"{folder} is a half-written store: its extraction was stopped; run the same extraction again, and it "
            "goes on where it stopped."
        )
    _refuse_other_spec(record, spec, folder)
    items = _find(rows, place, record, exactly)
    indices = [place.read_shard(shard) for shard in range(len(record.edges) - 1)]
    strange = [shard for shard, index in enumerate(indices) if index.key != record.key]
    if strange:
        raise place.damaged(place.index(strange[0]))
    needed = np.unique(np.searchsorted(record.edges, items, side="right") - 1)
    place.verify([(int(shard), indices[shard]) for shard in needed], record.channels, workers)
    _refuse_other_sound(rows, items, indices, place, workers)
    return _assemble(place, record, indices, spec.copies).select(items)


def holds(folder: Path, rows: Sequence[Row]) -> bool:
    """Whether a whole store has recordings of all these ids; whether they are stale is for `load_store` to say.

    Raises:
        UnusableStore: there is no store, or it is damaged.
    """
    place = StoreFolder(folder)
    place.read_record()
    ids, _ = place.read_recordings()
    return {row.id for row in rows} <= set(ids)


def _refuse_other_spec(record: Record, spec: StoreSpec, folder: Path) -> None:
    differs = differences(record.spec, spec.described())
    if differs:
        raise UnusableStore(
            f"The store {folder} is stale: {differs[0]}; extract the features into another folder, or go back to the "
            "settings that it was made with."
        )


def _find(rows: Sequence[Row], place: StoreFolder, record: Record, exactly: bool) -> np.ndarray:
    """Numbers of the rows in the store, ``(rows,)``."""
    ids, spans = place.read_recordings()
    wanted = [row.id for row in rows]
    if ids == wanted:
        items = np.arange(len(rows))
    elif exactly:
        raise UnusableStore(f"The store {place.path} is stale: it holds other recordings; extract the features again.")
    else:
        number = {name: index for index, name in enumerate(ids)}
        missing = [name for name in wanted if name not in number]
        if missing:
            raise UnusableStore(
                f"The store {place.path} is stale: it lacks {len(missing)} of the {len(rows)} recordings of the "
                f"manifest, {missing[0]} first; extract the features of this manifest into another folder."
            )
        items = np.array([number[name] for name in wanted], dtype=np.int64)
    other = np.flatnonzero((spans[items] != span_digests(rows)).any(axis=1))
    if len(other):
        raise UnusableStore(
            f"The store {place.path} is stale: the manifest gives {rows[other[0]].id} another channel, span or probe "
            "than when its features were made; extract the features into another folder."
        )
    return items


def _refuse_other_sound(
    rows: Sequence[Row], items: np.ndarray, indices: Sequence[ShardIndex], place: StoreFolder, workers: int
) -> None:
    content = np.concatenate([index.content for index in indices])
    extracted = np.concatenate([index.stamps for index in indices])
    newer = place.read_stamps(len(extracted))
    known = extracted if newer is None else newer
    now = stamps(rows)
    if (known[items] == now).all():
        return
    changed = first_changed(rows, content[items], known[items], workers)
    if changed is not None:
        raise UnusableStore(
            f"The store {place.path} is stale: the sound of {rows[changed].path} has changed since its features were "
            "made; put the file back, or run the same extraction again, which makes only what has changed anew."
        )
    known = known.copy()
    known[items] = now
    place.keep_stamps(known)


def _assemble(place: StoreFolder, record: Record, indices: Sequence[ShardIndex], copies: int) -> FeatureStore:
    frames = np.concatenate([index.frames for index in indices])
    streams: list[np.ndarray | Shards] = []
    for stream, channels in zip(STREAMS, record.channels, strict=True):
        parts = [place.map_frames(shard, stream, channels) for shard in range(len(indices))]
        streams.append(parts[0] if len(parts) == 1 else Shards(parts))
    quality = Qualities.join([index.quality for index in indices])
    speeds = np.concatenate([index.speeds for index in indices])
    voice, echo = streams
    return FeatureStore(voice, echo, np.cumsum(frames) - frames, frames, quality, copies, speeds)
