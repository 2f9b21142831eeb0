"""A very small real run, made through the command line: eight invented speakers, a few words each, two epochs."""

import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

# Small enough to train in seconds; the sizes a real model has change nothing that these tests ask.
CONFIG = """\
data:
  train: {train}
  validation: {validation}
model:
  name: ecapa-lstm
  trunk: {{channels: 16, pooled_channels: 32, embedding_dim: 16, bottleneck: 8}}
  head: {{channels: 16, groups: 4, hidden: 16, dilations: [1, 2]}}
training:
  epochs: 2
  liveness_batch: 12
  speaker_batch: 16
  liveness_crop_s: 1.5
  speaker_crop_s: 1.0
  workers: 1
  device: cpu
"""
KINDS = "kinds={live: 1, replay_stand: 1, probe_absent: 0.25, replay_handheld: 0, swapped_mouth: 0, shifted: 0, recorded_ultrasound: 0, probe_jammed: 0}"  # noqa: E501
TEXTS = ("open the door please", "my voice is my key", "blue boats move slowly", "we both like warm bread")


class Result(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """The one document on standard output."""
        return json.loads(self.out)


def run_cli(*words: object) -> Result:
    """Run `vivavoce` in this process as its entry point does; anything but a clean exit is raised."""
    from vivavoce.cli import main

    out, err = io.StringIO(), io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["vivavoce", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Result(code, out.getvalue(), err.getvalue())


def assert_refused(result: Result, *parts: str) -> None:
    """One sentence on standard error that holds ``parts``, exit code 2, nothing on standard output."""
    assert result.code == 2, result
    assert "Traceback" not in result.err
    lines = [line for line in result.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.err
    assert lines[0].endswith("."), lines[0]
    for part in parts:
        assert part in lines[0], lines[0]
    assert result.out == ""


@contextlib.contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Nothing below ``folder`` may come, go or change."""
    before = snapshot(folder)
    yield
    assert snapshot(folder) == before


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@dataclass(frozen=True)
class Tiny:
    """A corpus, its simulated splits, and a run trained on them."""

    folder: Path
    config: Path
    run: Path
    train: Path
    validation: Path
    test: Path
    printed: Result

    def recordings(self, kind: str, speaker: str | None = None) -> list[Path]:
        """Paths of the test split's recordings of one kind, all of them or one speaker's, sorted."""
        from vivavoce.corpus.manifest import read_rows

        rows = [row for row in read_rows(self.test) if row.meta.kind == kind and speaker in (None, row.speaker)]
        return sorted(row.path for row in rows)

    @property
    def speakers(self) -> list[str]:
        """The test split's speakers."""
        from vivavoce.corpus.manifest import read_rows

        return sorted({row.speaker for row in read_rows(self.test)})


def make_tiny(folder: Path) -> Tiny:
    """Speak, import, split, simulate and train, each step a command."""
    import torch

    torch.set_num_threads(1)
    table = speak(folder / "voices")
    steps = [("import", "table", table, "--out", folder / "corpus.jsonl.gz")]
    steps.append(("split", folder / "corpus.jsonl.gz", "--out", folder / "splits", "--fractions", 0.5, 0.25, 0.25))
    manifests = {name: folder / name / "manifest.jsonl.gz" for name in ("train", "validation", "test")}
    for seed, name in enumerate(manifests):
        source = folder / "splits" / f"{name}.jsonl.gz"
        options = ("--phones", table.parent / "phones.jsonl", "--workers", 1, "--seed", seed, "--set", KINDS)
        steps.append(("simulate", source, "--out", folder / name, *options))
    for step in steps:
        result = run_cli(*step)
        assert result.code == 0, result.err
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(train=manifests["train"], validation=manifests["validation"]))
    printed = run_cli("train", config, "--out", folder / "run", "--json")
    assert printed.code == 0, printed.err
    return Tiny(folder, config, folder / "run", **manifests, printed=printed)


def speak(folder: Path, speakers: int = 8) -> Path:
    """Invented speakers say each text once, with the phonemes' times beside the sound; returns the table."""
    from vivavoce.audio import write_wav
    from vivavoce.simulate.voices import draw_speakers, say

    folder.mkdir(parents=True)
    lines, phones = [["file", "speaker", "sex", "text"]], []
    for person in draw_speakers(speakers):
        for number, text in enumerate(TEXTS):
            wave, rate, spoken = say(text, person, np.random.default_rng(number))
            name = f"{person.name}-{number}.wav"
            write_wav(folder / name, wave, rate)
            lines.append([name, person.name, person.sex, text])
            phones.append({"file": name, "phones": [[p.name, p.start_s, p.end_s] for p in spoken]})
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    (folder / "phones.jsonl").write_text("".join(json.dumps(line) + "\n" for line in phones))
    return folder / "index.csv"
