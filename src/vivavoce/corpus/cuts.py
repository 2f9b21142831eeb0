"""Rows, and their form in a Lhotse manifest: one MonoCut with one supervision."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vivavoce.corpus.metadata import Metadata
from vivavoce.errors import UserError


@dataclass(frozen=True)
class Row:
    """One recording of a manifest: a span of one channel of a sound file, with who speaks and our metadata.

    ``start_s`` and ``duration_s`` are seconds within the file, ``sample_rate`` is in Hz, ``channel`` counts from 0.
    ``file_samples`` and ``file_channels`` describe the whole file; None: not looked up yet.
    """

    id: str
    path: Path
    speaker: str
    text: str | None
    start_s: float
    duration_s: float
    sample_rate: int
    channel: int
    meta: Metadata
    file_samples: int | None = None
    file_channels: int | None = None


def absolute(path: Path | str) -> str:
    """Make a path absolute and free of ``..``; links stay as the user named them."""
    return os.path.abspath(path)  # noqa: PTH100 - `Path.resolve` follows links, `Path.absolute` keeps ``..``


def first_repeated(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def parse_metadata(values: dict[str, Any], where: str) -> Metadata:
    """Check metadata; a wrong value is a UserError that begins with ``where``."""
    try:
        return Metadata.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else "metadata"
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        message = message[:1].lower() + message[1:]
        raise UserError(f"{where} has a wrong `{name}`, {first['input']!r}: {message}.") from error


def row_to_cut(row: Row, source: str) -> dict[str, Any]:
    """Write a row, whose file's header is known, as a Lhotse MonoCut; ``source`` is the path to put down."""
    if row.file_samples is None or row.file_channels is None:
        raise ValueError(f"The file of row {row.id} was not looked up.")
    channels = list(range(row.file_channels))
    supervision: dict[str, Any] = {
        "id": row.id,
        "recording_id": source,
        "start": 0,
        "duration": row.duration_s,
        "channel": row.channel,
        "speaker": row.speaker,
    }
    if row.text is not None:
        supervision["text"] = row.text
    if row.meta.sex is not None:
        supervision["gender"] = row.meta.sex  # where Lhotse's own tools look for it
    custom = row.meta.model_dump(mode="json", exclude_none=True)
    return {
        "id": row.id,
        "start": row.start_s,
        "duration": row.duration_s,
        "channel": row.channel,
        "supervisions": [supervision | {"custom": custom}],
        "recording": {
            "id": source,
            "sources": [{"type": "file", "channels": channels, "source": source}],
            "sampling_rate": row.sample_rate,
            "num_samples": row.file_samples,
            "duration": row.file_samples / row.sample_rate,
            "channel_ids": channels,
        },
        "type": "MonoCut",
    }


def cut_to_rows(cut: dict[str, Any], folder: str, where: str) -> Iterator[Row]:
    """Read a Lhotse MonoCut: one row for each of its supervisions, trimmed to it.

    Relative audio paths are taken from ``folder``. Raises a UserError, which begins with ``where``, for what is not
    one span of one channel of a sound file with a known speaker.
    """
    try:
        yield from _rows(cut, folder, where)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where} is not a whole Lhotse cut ({error!r}); make the manifest again.") from error


def _rows(cut: dict[str, Any], folder: str, where: str) -> Iterator[Row]:
    if cut.get("type") != "MonoCut":
        what = cut.get("type", "no cut")
        raise UserError(f"{where} is {what}, not a MonoCut; save the audio of such cuts to files first.")
    recording = cut.get("recording")
    if not recording:
        raise UserError(f"{where} has no recording, only features; make the manifest with recordings.")
    source, channel = _source(recording, cut.get("channel", 0), where)
    path = Path(os.path.join(folder, source["source"]))  # noqa: PTH118 - four times faster, and this runs per row
    supervisions = cut.get("supervisions") or []
    if not supervisions:
        raise UserError(f"{where} has no supervision, so its speaker is unknown; add supervisions to the manifest.")
    for number, supervision in enumerate(supervisions):
        speaker = supervision.get("speaker")
        if not speaker:
            raise UserError(f"{where} has a supervision without a speaker; name the speaker of every supervision.")
        start_s, duration_s = _span(cut, supervision, where)
        yield Row(
            id=str(cut["id"]) if len(supervisions) == 1 else f"{cut['id']}-{number}",
            path=path,
            speaker=str(speaker),
            text=supervision.get("text"),
            start_s=start_s,
            duration_s=duration_s,
            sample_rate=int(recording["sampling_rate"]),
            channel=channel,
            meta=_metadata(supervision, where),
            file_samples=recording["num_samples"],
            file_channels=len(source["channels"]),
        )


def _source(recording: dict[str, Any], channel: int, where: str) -> tuple[dict[str, Any], int]:
    """Find the sound file that holds a channel, and the channel's number within that file."""
    if recording.get("transforms"):
        raise UserError(f"{where} changes its audio while reading (transforms); save its audio to files first.")
    for source in recording["sources"]:
        if channel in source["channels"]:
            if source["type"] != "file":
                raise UserError(f"{where} reads its audio from a {source['type']}; save its audio to files first.")
            return source, source["channels"].index(channel)
    raise UserError(f"{where} names channel {channel}, which its recording does not have; correct the manifest.")


def _span(cut: dict[str, Any], supervision: dict[str, Any], where: str) -> tuple[float, float]:
    """Start and duration (seconds, in the file) of a supervision, whose own start counts from the cut's."""
    begin = max(0.0, supervision["start"])
    end = min(cut["duration"], supervision["start"] + supervision["duration"])
    if end <= begin:
        raise UserError(f"{where} has a supervision outside of its cut; correct the manifest.")
    if begin == 0.0 and end == cut["duration"]:
        return float(cut["start"]), float(cut["duration"])  # untouched: no rounding on the way through
    return round(cut["start"] + begin, 9), round(end - begin, 9)


def _metadata(supervision: dict[str, Any], where: str) -> Metadata:
    custom = supervision.get("custom") or {}
    gender = supervision.get("gender")
    if gender and "sex" not in custom:
        custom = custom | {"sex": gender}
    return parse_metadata(custom, where)
