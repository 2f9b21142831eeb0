"""Code blocks of the documentation, and a small folder in which all that they name is there."""

import csv
import re
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vivavoce.audio import audio_info, read_audio, write_wav
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import Row, read_rows, write_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.corpus.table import read_table
from vivavoce.models.ecapa_tdnn import EcapaConfig
from vivavoce.models.weights.ecapa import LAYOUTS
from vivavoce.simulate.alignment import AlignmentCache

from .tiny import Tiny, speak

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a block, with the lines that the page shows beneath it."""

    words: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """The page shows that the command is refused."""
        return any(line.startswith("Error:") for line in self.shown)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, text[: match.start()].count("\n") + 1, *match.groups()) for match in FENCE.finditer(text)]


def commands(block: Block) -> list[Command]:
    """The commands of a ``bash`` block (every line) or a ``console`` block (lines behind ``$``)."""
    text = block.text.replace("\\\n", " ")
    if block.language == "bash":
        return [Command(tuple(words), ()) for line in text.splitlines() if (words := shlex.split(line, comments=True))]
    found: list[tuple[tuple[str, ...], list[str]]] = []
    for line in text.splitlines():
        if line.startswith(PROMPT):
            found.append((tuple(shlex.split(line.removeprefix(PROMPT), comments=True)), []))
        elif line.strip():
            assert found, f"{block.where}: output before the first command"
            found[-1][1].append(line.strip())
    return [Command(words, tuple(shown)) for words, shown in found]


def furnish(folder: Path, tiny: Tiny) -> None:
    """Lay out what the pages' commands read: speech, recordings with a probe, motion, broken files, a finished run."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(tiny.run, folder / "quickstart" / "run")
    for name in ("train", "validation", "test"):
        manifest = folder / "quickstart" / "recordings" / name / "manifest.jsonl.gz"
        write_rows(read_rows(getattr(tiny, name)), manifest)
    _speech(folder)
    _recorded(folder, tiny)
    _lab(folder, tiny)
    first, other = tiny.speakers[:2]
    live = tiny.recordings("live", first)
    sources = {
        **dict(zip(("a", "b", "c", "login"), live, strict=True)),
        "replay": tiny.recordings("replay_stand", first)[0],
        "other": tiny.recordings("live", other)[0],
        "no-probe": tiny.recordings("probe_absent")[0],
    }
    for name, source in sources.items():
        shutil.copy(source, folder / f"{name}.wav")
    for name in ("d", "again"):
        shutil.copy(live[3], folder / f"{name}.wav")
    _broken(folder, live[0])
    _lists(folder / "lists", live)
    torch.save(_peer(), folder / "avg_model.pt")


def _lists(folder: Path, live: list[Path]) -> None:
    """Trial lists and score files that cannot be used; ``live`` are recordings of one speaker."""
    folder.mkdir()
    enrolment = ";".join(map(str, live[:3]))
    lines = {
        "unknown": [("enrol", "test", "label"), (enrolment, "nobody.wav", "target")],
        "own": [("enrol", "test", "label"), (enrolment, live[0], "target")],
        "targets": [("enrol", "test", "label"), (enrolment, live[3], "target")],
        "twice": [("a.wav", "d.wav", 0.5, "target"), ("a.wav", "d.wav", 0.6, "target")],
        "nan": [("enrol", "test", "label", "score"), ("a.wav", "d.wav", "target", "nan")],
        "missing": [("a.wav", "d.wav", 0.5, "target")],
    }
    for name, rows in lines.items():
        separator = "," if rows[0][0] == "enrol" else " "
        text = "".join(f"{separator.join(map(str, row))}\n" for row in rows)
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")


def _peer() -> dict[str, torch.Tensor]:
    """A checkpoint as WeSpeaker leaves one: its ECAPA-TDNN, untrained, and a classifier."""
    trunk = EcapaConfig.preset("wespeaker", channels=512, pooled_channels=1536).build(80)
    return {**LAYOUTS["wespeaker"].to_theirs(trunk.state_dict()), "projection.weight": torch.zeros(10, 192)}


def _speech(folder: Path) -> None:
    """Speech without ultrasound, in all the forms that can be imported."""
    table = speak(folder / "speech", speakers=10)
    rows = finish(read_table(table), table.parent).rows
    # Aligning is tested elsewhere; here the synthesiser's own times save half a minute.
    phones = table.parent / "phones.jsonl"
    for name in ("corpus", "splits/train", "splits/validation", "splits/test", "measured"):
        AlignmentCache(folder / f"{name}.alignments.jsonl").add_file(rows, phones)
    phones.unlink()
    (folder / "kaldi").mkdir()
    lines: dict[str, list[str]] = {"wav.scp": [], "utt2spk": [], "text": []}
    for row in rows:
        target = folder / "by_speaker" / row.speaker / row.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(row.path, target)
        for name, value in (("wav.scp", row.path), ("utt2spk", row.speaker), ("text", row.text)):
            lines[name].append(f"{row.id} {value}\n")
    for name, content in lines.items():
        (folder / "kaldi" / name).write_text("".join(content))
    write_rows(rows, folder / "cuts.jsonl.gz")
    _tracks(folder, rows)


def _tracks(folder: Path, rows: list[Row]) -> None:
    """Lip motion of two recordings, as an articulograph writes it, and a table that names only these."""
    (folder / "tracks").mkdir()
    for row in rows[:2]:
        time_s = np.arange(round(row.duration_s * 200)) / 200
        down = 5 * np.sin(2 * np.pi * 3 * time_s)
        still = np.zeros_like(time_s)
        lower = np.stack([0.1 * down, -15 - down, still], axis=1)
        upper = np.stack([still, 5 + 0.1 * down, still], axis=1)
        np.savez(folder / "tracks" / f"{row.path.stem}.npz", fs=200.0, upper_lip_mm=upper, lower_lip_mm=lower)
    write_rows(rows[:2], folder / "measured.jsonl.gz")


def _recorded(folder: Path, tiny: Tiny) -> None:
    """Recordings with a probe, as a lab would bring them: a table with all columns."""
    _table(folder / "recorded", read_rows(tiny.test))


def _lab(folder: Path, tiny: Tiny) -> None:
    """More of them, as they come from the phones: one file cut, one clipped, one copied under another's name."""
    rows = [row for manifest in (tiny.train, tiny.validation, tiny.test) for row in read_rows(manifest)]
    live = [row for row in rows if row.meta.kind is Kind.LIVE]
    lab = folder / "lab"
    other = next(row.speaker for row in live if row.speaker != live[0].speaker)
    mislabelled = live[0].meta.model_copy(update={"source": "unknown"})
    copy = replace(live[0], path=live[0].path.with_name("copy.wav"), speaker=other, meta=mislabelled)
    _table(lab, rows, copy)
    samples, rate = read_audio(live[0].path)
    write_wav(lab / "copy.wav", 0.5 * samples[rate // 2 :], rate)
    loud, cut = lab / live[5].path.name, lab / live[9].path.name
    samples, rate = read_audio(loud)
    write_wav(loud, np.clip(20 * samples, -1, 1), rate)
    cut.write_bytes(cut.read_bytes()[:-40_000])


def _table(folder: Path, rows: list[Row], *further: Row) -> None:
    """Copy recordings to a folder with a table of all that is known of them; ``further`` rows have no file yet."""
    columns = ("speaker", "session", "kind", "source", "text", "device", "posture", "distance_cm", "probe_hz")
    folder.mkdir()
    for row in rows:
        shutil.copy(row.path, folder / row.path.name)
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *columns])
        for row in (*rows, *further):
            meta, tones = row.meta, row.meta.probe_hz or ()
            source = (meta.model_extra or {}).get("source")
            what = (row.speaker, meta.session, meta.kind.value, source, row.text)
            where = (meta.device, meta.posture, meta.distance_cm)
            writer.writerow([row.path.name, *what, *where, " ".join(f"{tone:g}" for tone in tones)])


def _broken(folder: Path, good: Path) -> None:
    """Files that no command can use."""
    whole = good.read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    samples, rate = read_audio(good)
    write_wav(folder / "silent.wav", np.zeros_like(samples), rate)
    write_wav(folder / "short.wav", samples[rate // 2 : rate], rate)
    assert audio_info(folder / "short.wav").duration_s == 0.5
    with (folder / "speech" / "who.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "name"], ["s01.wav", "ann"]])
    (folder / "typo.yaml").write_text((ROOT / "examples" / "train.yaml").read_text().replace("epochs:", "epoch:"))
