"""When each phoneme is spoken: forced alignment by pocketsphinx, its phone loop without text, and a cache on disk."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from vivavoce.audio import read_audio
from vivavoce.errors import UserError
from vivavoce.files import is_disk_full
from vivavoce.pool import spawn_pool
from vivavoce.progress import progress_bar, track
from vivavoce.simulate.phonemes import PHONEMES, SILENCE, Phone
from vivavoce.simulate.spelling import pronounce

if TYPE_CHECKING:  # the manifest brings lhotse and torch, which a worker does not need
    from vivavoce.corpus.manifest import Row

RATE_HZ = 16000
FRAME_S = 0.01  # pocketsphinx' frame
# Frame t looks at 10 t to 10 t + 25.6 ms, so the border before it lies half a hop before its window's middle.
# (espeak-ng's own times agree: without this, borders come 8–20 ms early.)
_BORDER_S = 0.0128 - FRAME_S / 2
_DITHER_DBFS = -74.0  # below the noise of any phone's recording in a room
_SHORTEST_S = 0.1  # below this there is no phoneme to find (a phone takes 3 frames)
# Part of the cache's key: change the number when the result changes.
METHOD = f"pocketsphinx-{version('pocketsphinx')}/1"


def align(wave16k: np.ndarray, text: str | None) -> list[Phone]:
    """Find the phonemes of one utterance: ``wave16k`` (samples,) float in [-1, 1] at 16 kHz.

    The text is aligned by force (dictionary words, others spelled by rule); without a text, or where it does not fit
    the sound or holds digits or letters that are not English, pocketsphinx' phone loop listens instead. The phones
    cover the whole wave without gap; noise counts as silence. Result depends on this utterance alone.
    """
    if len(wave16k) < _SHORTEST_S * RATE_HZ:
        return [Phone(SILENCE, 0.0, len(wave16k) / RATE_HZ)]
    pcm = _pcm(wave16k)
    words = _words(text)
    found = _force(pcm, words) if words else None
    if found is None:
        found = _loop(pcm)
    return _cover(found, len(wave16k) / RATE_HZ)


def _pcm(wave16k: np.ndarray) -> bytes:
    """Make 16-bit samples with faint noise, always the same: pocketsphinx loses its way in digital silence."""
    noise = np.random.default_rng(0).standard_normal(len(wave16k), dtype=np.float32)
    noisy = np.clip(wave16k + 10 ** (_DITHER_DBFS / 20) * noise, -1.0, 1.0)
    return (noisy * 32767.0).astype(np.int16).tobytes()


def _words(text: str | None) -> list[str]:
    """Split a text into lower-case words; empty where it cannot be spoken from its letters alone."""
    if text is None or any(c.isdigit() or (c.isalpha() and not c.isascii()) for c in text):
        return []
    return [word for word in (w.strip("'") for w in re.findall(r"[a-z']+", text.lower().replace("’", "'"))) if word]


@lru_cache(maxsize=1)
def _aligner() -> Any:
    from pocketsphinx import Decoder

    return Decoder(lm=None, cmn="batch", loglevel="FATAL")


@lru_cache(maxsize=1)
def _phone_loop() -> Any:
    from pocketsphinx import Decoder, get_model_path

    model = get_model_path("en-us/en-us-phone.lm.bin")
    return Decoder(lm=None, allphone=model, lw=2.0, cmn="batch", loglevel="FATAL")


def _decode(decoder: Any, pcm: bytes) -> None:
    decoder.reinit_feat()  # the front end's noise tracker would carry one utterance into the next
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _force(pcm: bytes, words: list[str]) -> list[tuple[str, float, float]] | None:
    """Align by force, or None where the words do not fit the sound."""
    decoder = _aligner()
    for word in set(words):
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, " ".join(pronounce(word)), True)
    try:
        decoder.set_align_text(" ".join(words))
        _decode(decoder, pcm)
        decoder.set_alignment()  # a second pass, from words to phones
        _decode(decoder, pcm)
        alignment = decoder.get_alignment()
    except RuntimeError:  # pocketsphinx: "final state not reached", no alignment, and the like
        return None
    if alignment is None:
        return None
    return [(p.name, _time(p.start), _time(p.start + p.duration)) for p in alignment.phones()] or None


def _loop(pcm: bytes) -> list[tuple[str, float, float]]:
    decoder = _phone_loop()
    _decode(decoder, pcm)
    return [(s.word, _time(s.start_frame), _time(s.end_frame + 1)) for s in decoder.seg() or ()]


def _time(frame: int) -> float:
    return frame * FRAME_S + _BORDER_S if frame else 0.0


def _cover(found: Iterable[tuple[str, float, float]], duration_s: float) -> list[Phone]:
    """Make phones that cover 0 to ``duration_s``: strip stress marks, call noise silence, merge silences, fill gaps."""
    phones: list[Phone] = []

    def add(name: str, start: float, end: float) -> None:
        if end - start < 1e-9:
            return
        if name == SILENCE and phones and phones[-1].name == SILENCE:
            phones[-1] = Phone(SILENCE, phones[-1].start_s, end)
        else:
            phones.append(Phone(name, start, end))

    at = 0.0
    for raw, start, end in found:
        start, end = max(at, round(start, 6)), min(duration_s, round(end, 6))
        bare = raw.rstrip("012")
        add(SILENCE, at, start)
        add(bare if bare in PHONEMES else SILENCE, start, end)
        at = max(at, end)
    add(SILENCE, at, duration_s)
    return phones


# --- the cache -------------------------------------------------------------------------------------------------------


class AlignmentCache:
    """Alignments on disk, one JSON line each, keyed by the hash of sound, text and method.

    A line is appended in one write, so a crash loses at most its own line, a torn line is skipped on reading, and
    several processes may append to one file.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._known: dict[str, list[Phone]] = {}
        if self.path.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._known)

    def get_many(self, rows: Sequence["Row"], workers: int = 2) -> dict[str, list[Phone]]:
        """Give every row's phones by row id, aligning only what the cache lacks, on ``workers`` processes.

        Raises:
            UserError: a row's audio cannot be read, or the cache cannot be written.
        """
        keys = {row.id: row_key(row) for row in track(rows, "reading")}
        missing = {keys[row.id]: row for row in rows if keys[row.id] not in self._known}
        with progress_bar("aligning", len(missing)) as advance:
            for key, phones in _align_rows(missing, workers):
                self._append(key, phones)
                advance(1)
        return {row.id: self._known[keys[row.id]] for row in rows}

    def add(self, row: "Row", phones: Sequence[Phone]) -> None:
        """Store phones known from elsewhere (a synthesiser's own times) as this row's alignment."""
        key = row_key(row)
        if self._known.get(key) != list(phones):
            self._append(key, list(phones))

    def add_file(self, rows: Sequence["Row"], phones_jsonl: Path | str) -> int:
        """Store the phones that ``make_voices`` wrote beside its recordings; returns how many rows were found there.

        Raises:
            UserError: the file is missing or no JSON lines of ``{"file", "phones"}``.
        """
        phones_jsonl = Path(phones_jsonl)
        by_path = {phones_jsonl.parent.resolve() / name: phones for name, phones in read_phones(phones_jsonl).items()}
        found = [(row, by_path[row.path.resolve()]) for row in rows if row.path.resolve() in by_path]
        for row, phones in found:
            self.add(row, phones)
        return len(found)

    def _read(self) -> None:
        for line in self.path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = [Phone(*phone) for phone in entry["phones"]]
            except (ValueError, KeyError, TypeError):
                continue  # a line torn by a crash: align that one again

    def _append(self, key: str, phones: list[Phone]) -> None:
        line = json.dumps({"key": key, "phones": [[p.name, p.start_s, p.end_s] for p in phones]})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The line break comes first, so that a torn line before it cannot swallow this one.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, f"\n{line}".encode())
            finally:
                os.close(handle)
        except OSError as error:
            what = "the disk is full" if is_disk_full(error) else error.strerror
            raise UserError(
                f"The alignment cache {self.path} cannot be written ({what}); mend that and repeat."
            ) from error
        self._known[key] = phones


def row_key(row: "Row") -> str:
    """Hash a row's sound (its own span and channel), text and the aligning method."""
    wave, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
    digest = hashlib.sha256(f"{METHOD}\n{rate}\n{row.text!r}\n".encode())
    digest.update(np.ascontiguousarray(wave, dtype=np.float32).tobytes())
    return digest.hexdigest()


def read_phones(path: Path | str) -> dict[str, list[Phone]]:
    """Read a ``phones.jsonl``: file name to phones.

    Raises:
        UserError: the file is missing or is not of that form.
    """
    path = Path(path)
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {entry["file"]: [Phone(*phone) for phone in entry["phones"]] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no phone times ({error}); make the voices again.") from error


def _align_rows(missing: dict[str, "Row"], workers: int) -> Iterable[tuple[str, list[Phone]]]:
    jobs = [(key, row.path, row.channel, row.start_s, row.duration_s, row.text) for key, row in missing.items()]
    if workers <= 1 or len(jobs) < 8:  # starting a process costs more than aligning a handful
        yield from map(_align_job, jobs)
        return
    with spawn_pool(workers) as pool:
        pending = [pool.submit(_align_job, job) for job in jobs]
        try:
            for done in as_completed(pending):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _align_job(job: tuple[str, Path, int, float, float, str | None]) -> tuple[str, list[Phone]]:
    key, path, channel, start_s, duration_s, text = job
    wave, rate = read_audio(path, channel=channel, start_s=start_s, duration_s=duration_s)
    if rate != RATE_HZ:
        wave = soxr.resample(wave, rate, RATE_HZ)
    return key, align(wave, text)
