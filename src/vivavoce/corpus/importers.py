"""From what a corpus says about its recordings to rows: every sound file is opened and checked on the way."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from vivavoce.audio import AudioInfo, audio_info, check_channel, check_span, check_speech, read_audio
from vivavoce.corpus.cuts import Row, absolute, first_repeated
from vivavoce.corpus.metadata import Metadata
from vivavoce.errors import UserError
from vivavoce.progress import track

# Header reading waits for the disk, or for a server behind it, more than for the processor.
_THREADS = 16

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Draft:
    """What a corpus says about one recording, its sound file not opened yet.

    ``where`` names the place to mend ("line 7 of index.csv"); ``duration_s`` None means to the file's end; ``channel``
    None means that the file has only one; ``id`` None: named after the file.
    """

    where: str
    path: Path
    speaker: str
    text: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    channel: int | None = None
    meta: Metadata = field(default_factory=Metadata)
    id: str | None = None


@dataclass(frozen=True)
class Imported:
    """The rows of an import, and one sentence for each recording left out."""

    rows: list[Row]
    skipped: list[str]


def locate(entry: str, folder: Path, audio_root: Path | None) -> Path:
    """Find the file of a corpus whose relative paths start at ``audio_root``, else at ``folder``, else where we run."""
    if audio_root is not None:
        return audio_root / entry
    beside, plain = folder / entry, Path(entry)
    return plain if plain.exists() and not beside.exists() else beside


def finish(drafts: list[Draft], root: Path, *, skip_bad: bool = False, check_samples: bool = False) -> Imported:
    """Check the sound file of every draft and make rows of them, in the same order.

    Recordings without an id are named after their file, by its path below ``root`` without the suffix. With
    ``check_samples`` whole files are decoded, which also finds NaN, silence and clipping.

    Raises:
        UserError: no drafts; one recording twice; a bad sound file (all are counted, the first is named), or with
            ``skip_bad`` only where none is good.
    """
    if not drafts:
        raise UserError(f"{root} holds no recordings; nothing was imported.")
    _check_repeats(drafts)
    files = list(dict.fromkeys(draft.path for draft in drafts))
    infos = dict(zip(files, _in_threads(_try_info, files, "Reading headers"), strict=True))
    ids = _ids(drafts, root)
    results: list[Row | str] = []
    for draft, name in zip(drafts, ids, strict=True):
        info = infos[draft.path]
        results.append(_row(draft, name, info) if isinstance(info, AudioInfo) else _at(draft.where, info))
    if check_samples:
        results = _in_threads(_listen, list(zip(drafts, results, strict=True)), "Checking samples")
    rows = [result for result in results if isinstance(result, Row)]
    bad = [result for result in results if isinstance(result, str)]
    if bad and not (skip_bad and rows):
        raise UserError(_bad_sentence(bad, len(drafts), skip_bad))
    return Imported(rows, bad)


def _row(draft: Draft, name: str, info: AudioInfo) -> Row | str:
    """Make the row of a draft, or say in a sentence why it cannot be made."""
    file = f"{draft.where}: the sound file {draft.path}"
    try:
        if draft.channel is None and info.channels > 1:
            raise UserError(f"{file} has {info.channels} channels; choose one with `--channel` or a column `channel`.")
        check_channel(file, info, draft.channel)
        duration_s = check_span(file, info, draft.start_s, draft.duration_s)
    except UserError as error:
        return str(error)
    return Row(
        id=name,
        path=draft.path,
        speaker=draft.speaker,
        text=draft.text,
        start_s=draft.start_s,
        duration_s=duration_s,
        sample_rate=info.sample_rate,
        channel=draft.channel or 0,
        meta=draft.meta,
        file_samples=info.samples,
        file_channels=info.channels,
    )


def _try_info(path: Path) -> AudioInfo | str:
    try:
        return audio_info(path)
    except UserError as error:
        return str(error)


def _listen(checked: tuple[Draft, Row | str]) -> Row | str:
    """Decode a row's samples; a sentence instead of the row where they cannot be used."""
    draft, row = checked
    if isinstance(row, str):
        return row
    try:
        samples, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
        check_speech(samples, rate, f"The sound file {row.path}")
    except UserError as error:
        return _at(draft.where, str(error))
    return row


def _at(where: str, sentence: str) -> str:
    return f"{where}: {sentence.replace('The sound file', 'the sound file', 1)}"


def _in_threads(work: Callable[[A], B], items: list[A], description: str) -> list[B]:
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(track(threads.map(work, items), description, total=len(items)))


def _check_repeats(drafts: Iterable[Draft]) -> None:
    seen: dict[tuple[str, float, float | None, int], str] = {}
    real: dict[Path, str] = {}
    for draft in drafts:
        if draft.path not in real:
            real[draft.path] = os.path.realpath(draft.path)
        key = (real[draft.path], draft.start_s, draft.duration_s, draft.channel or 0)
        first = seen.setdefault(key, draft.where)
        if first is not draft.where:  # the same place may name two people who speak at once
            raise UserError(
                f"{draft.where} names the same recording as {first}, {draft.path}; remove one of them, or give each "
                "its own span or channel."
            )


def _ids(drafts: list[Draft], root: Path) -> list[str]:
    """Unique names: the given ones, else the path below the root, with a number where a file has several rows."""
    given = [draft.id for draft in drafts if draft.id is not None]
    if repeated := first_repeated(given):
        raise UserError(f"The id {repeated} is used twice in {root}; give every recording its own.")
    used = set(given)
    base = absolute(root) + os.sep
    names = []
    numbers: Counter[str] = Counter()
    for draft in drafts:
        if draft.id is not None:
            names.append(draft.id)
            continue
        stem = Path(absolute(draft.path).removeprefix(base)).with_suffix("").as_posix().strip("/")
        name = stem
        while name in used:
            numbers[stem] += 1
            name = f"{stem}-{numbers[stem] + 1}"
        used.add(name)
        names.append(name)
    return names


def _bad_sentence(bad: list[str], total: int, skip_bad: bool) -> str:
    first = bad[0].rstrip(".")
    if skip_bad:
        return f"Not one of the {total} recordings can be used; the first: {first}."
    if len(bad) == 1:
        return f"{first} (the only bad one of {total} recordings; `--skip-bad` imports the others)."
    return f"{first} (the first of {len(bad)} bad ones among {total} recordings; `--skip-bad` imports the others)."
