import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from vivavoce.cli import main
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.metadata import Metadata


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows, known = [], []
    rng = np.random.default_rng(0)
    for speaker in ("ann", "ben"):
        for turn in range(2):
            path = tmp_path / f"{speaker}{turn}.wav"
            sf.write(path, 0.05 * rng.standard_normal(16_000), 16_000)
            rows.append(Row(path.stem, path, speaker, f"say {turn}", 0.0, 1.0, 16_000, 0, Metadata()))
            known.append({"file": path.name, "phones": [["SIL", 0.0, 0.2], ["AA", 0.2, 0.5], ["M", 0.5, 1.0]]})
    write_rows(rows, tmp_path / "m.jsonl.gz")
    (tmp_path / "phones.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in known))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["vivavoce", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_simulates_and_prints_one_json_document(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "sim.yaml").write_text("kinds: {live: 1, replay_stand: 1, replay_handheld: 0, swapped_mouth: 0}\n")
    code = run(
        monkeypatch, "simulate", corpus / "m.jsonl.gz", "--out", corpus / "out", "--config", corpus / "sim.yaml",
        "--set", "kinds.shifted=0", "--set", "kinds.recorded_ultrasound=0", "--set", "kinds.probe_absent=0",
        "--phones", corpus / "phones.jsonl", "--seed", 5, "--workers", 1, "--json",
    )  # fmt: skip
    assert code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["recordings"] == 8
    assert result["kinds"] == {"live": 4, "replay_stand": 4}
    assert len(read_rows(result["manifest"])) == 8
    assert "seed: 5" in (corpus / "out" / "simulation.yaml").read_text()


def test_measured_motion_takes_the_place_of_phones(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "tracks").mkdir()
    time = np.arange(200) / 200
    lower = np.stack([0.5 * np.sin(2 * np.pi * 3 * time), -15 + 5 * np.sin(2 * np.pi * 3 * time), 0 * time], axis=1)
    upper = np.stack([0 * time, 5 + 0.5 * np.sin(2 * np.pi * 3 * time), 0 * time], axis=1)
    np.savez(corpus / "tracks" / "ann0.npz", fs=200.0, upper_lip_mm=upper, lower_lip_mm=lower)
    code = run(
        monkeypatch, "simulate", corpus / "m.jsonl.gz", "--out", corpus / "out", "--motion", corpus / "tracks",
        "--set", "kinds.swapped_mouth=0", "--phones", corpus / "phones.jsonl", "--workers", 1, "--json",
    )  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0
    assert (
        json.loads(printed.out)["sources_with_motion_tracks"],
        json.loads(printed.out)["sources_with_phonemes"],
    ) == (1, 3)
    assert "3 of 4 recordings have no motion tracks" in " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "kinds.live=-1"], "kinds.live"),
        (["--set", "kind.live=1"], "did you mean kinds?"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--motion", "none"], "motion tracks none are missing"),
    ],
)
def test_mistakes_end_in_one_sentence_and_code_2(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code = run(monkeypatch, "simulate", corpus / "m.jsonl.gz", "--out", corpus / "out", *arguments)
    assert code == 2
    printed = capsys.readouterr()
    assert words in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not (corpus / "out").exists()
