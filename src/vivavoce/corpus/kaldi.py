"""Import of a Kaldi data folder: ``wav.scp``, ``utt2spk``, and where present ``segments``, ``text``, ``spk2gender``.

Formats: https://kaldi-asr.org/doc/data_prep.html
"""

from pathlib import Path

from vivavoce.corpus.importers import Draft, locate
from vivavoce.corpus.metadata import Metadata
from vivavoce.errors import UserError


def read_kaldi(folder: Path, audio_root: Path | None = None, channel: int | None = None) -> list[Draft]:
    """Read a Kaldi data folder; relative paths start at ``audio_root``, else at the folder, else where we run.

    Raises:
        UserError: a file is missing or broken, an utterance has no speaker or recording, or ``wav.scp`` holds a
            command or an archive instead of files.
    """
    if not folder.is_dir():
        raise UserError(f"The Kaldi folder {folder} does not exist; correct the path.")
    wavs = _read(folder / "wav.scp")
    speakers = _read(folder / "utt2spk")
    texts = _read(folder / "text", needed=False)
    genders = _read(folder / "spk2gender", needed=False)
    segments = _read(folder / "segments", needed=False)
    spans = segments or {name: (name, where) for name, (_, where) in wavs.items()}
    drafts = []
    for name, (span, where) in spans.items():
        recording, start_s, duration_s = _segment(span, where) if segments else (name, 0.0, None)
        if recording not in wavs:
            raise UserError(f"{where} names the recording {recording}, which is not in wav.scp; correct one of them.")
        if name not in speakers:
            raise UserError(f"{folder / 'utt2spk'} has no speaker for the utterance {name}; add it.")
        speaker = speakers[name][0]
        gender = genders.get(speaker, (None, ""))[0]
        drafts.append(
            Draft(
                where=where,
                path=_path(*wavs[recording], folder, audio_root),
                speaker=speaker,
                text=texts.get(name, (None, ""))[0],
                start_s=start_s,
                duration_s=duration_s,
                channel=channel,
                meta=Metadata(sex=gender.upper() if gender else None),
                id=name,
            )
        )
    return drafts


def _read(path: Path, needed: bool = True) -> dict[str, tuple[str, str]]:
    """Read a Kaldi table: key -> (the rest of the line, its place)."""
    if not path.is_file():
        if needed:
            raise UserError(f"{path} does not exist; a Kaldi folder needs wav.scp and utt2spk.")
        return {}
    table: dict[str, tuple[str, str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8 ({error}); convert it.") from error
    for number, line in enumerate(lines, start=1):
        where = f"Line {number} of {path}"
        parts = line.split(maxsplit=1)
        if not parts:
            continue
        if len(parts) < 2 and path.name != "text":
            raise UserError(f"{where} has a key, {parts[0]}, without a value; complete it.")
        if parts[0] in table:
            raise UserError(f"{where} repeats the key {parts[0]}; remove one of the lines.")
        table[parts[0]] = (parts[1].strip() if len(parts) > 1 else "", where)
    return table


def _segment(span: str, where: str) -> tuple[str, float, float | None]:
    """Parse ``recording start end`` (seconds; an end of -1 is the end of the file)."""
    parts = span.split()
    try:
        recording, start_s, end_s = parts[0], float(parts[1]), float(parts[2])
    except (IndexError, ValueError) as error:
        raise UserError(f"{where} is not `utterance recording start end`; correct it.") from error
    if end_s == -1:
        return recording, start_s, None
    return recording, start_s, round(end_s - start_s, 9)


def _path(entry: str, where: str, folder: Path, audio_root: Path | None) -> Path:
    if entry.endswith("|") or entry == "-":
        raise UserError(f"{where} is a command, and commands are not run; write its output to files and name those.")
    archive, _, offset = entry.rpartition(":")
    if archive.endswith(".ark") and offset.isdigit():
        raise UserError(f"{where} points into the archive {archive}; write the recordings to files and name those.")
    return locate(entry, folder, audio_root)
