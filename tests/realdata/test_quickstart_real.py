"""The main job in full, as a newcomer runs it: once on real speech, once on voices made on the machine."""

import csv
from pathlib import Path

import pytest

from ..tiny import run_cli

# Sixty speakers would take half an hour; these few show that the whole way holds on real speech.
SPEAKERS = 15
EPOCHS = 6


@pytest.fixture
def table(shared_data: Path, tmp_path: Path) -> Path:
    """All utterances of the first speakers that have at least eight, women and men in turn."""
    folder = shared_data / "speechocean_adult16k"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    counts: dict[tuple[str, str], int] = {}
    for line in lines:
        counts[line["sex"], line["speaker"]] = counts.get((line["sex"], line["speaker"]), 0) + 1
    full = [sorted(who for (sex, who), count in counts.items() if sex == wanted and count >= 8) for wanted in "FM"]
    chosen = {who for pair in zip(*full, strict=False) for who in pair}
    chosen = set(sorted(chosen)[:SPEAKERS])
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "speaker", "sex", "text"])
        for line in lines:
            if line["speaker"] in chosen:
                found = next(folder.rglob(line["file"]))
                writer.writerow([found, line["speaker"], line["sex"], line["text"]])
    return tmp_path / "table.csv"


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(1200)
def test_quickstart_on_real_speech(table, tmp_path):
    result = run_cli("quickstart", "--corpus", table, "--out", tmp_path / "out", "--epochs", EPOCHS, "--json")
    assert result.code == 0, result.err
    printed = result.json
    assert Path(printed["report"]).is_file()
    shown = printed["verdicts_shown"]
    assert [row["truth"] for row in shown] == ["target", "replay_stand", "nontarget", "probe_absent"]
    assert shown[3]["verdict"] == "abstain"
    # Three unseen speakers and a short training: far better than chance is all that can be asked.
    assert printed["speaker"]["eer"]["value"] < 0.40
    replay = next(row for row in printed["liveness"] if row["species"] == "replay_stand")
    assert replay["eer"]["value"] < 0.30
    assert {row["kind"] for row in printed["data"]} >= {"live", "swapped_mouth", "replay_handheld", "shifted"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_quickstart_on_voices_made_here(tmp_path):
    result = run_cli("quickstart", "--out", tmp_path / "out", "--json")
    assert result.code == 0, result.err
    shown = result.json["verdicts_shown"]
    assert [(row["truth"], row["verdict"]) for row in shown] == [
        ("target", "accept"),
        ("replay_stand", "not_live"),
        ("nontarget", "not_the_speaker"),
        ("probe_absent", "abstain"),
    ]
