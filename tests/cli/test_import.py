import errno
import json
import os
import sys
import typing

import pytest
import typer

from vivavoce.cli import import_, output
from vivavoce.cli.split import split
from vivavoce.corpus import manifest as manifest_module
from vivavoce.corpus.manifest import read_rows
from vivavoce.errors import UserError

app = typer.Typer(pretty_exceptions_enable=False)
app.add_typer(import_.app, name="import")
app.command("split")(split)


class Result(typing.NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys, monkeypatch):
    """Run a command as `vivavoce.cli.main` does, and return exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*words) -> Result:
        monkeypatch.setattr(output, "err", output.Console(stderr=True))
        monkeypatch.setattr(output, "out", output.Console())
        monkeypatch.setattr(import_, "err", output.err)
        monkeypatch.setattr(import_, "out", output.out)
        monkeypatch.setattr(sys, "argv", ["vivavoce", *map(str, words)])
        code = 0
        try:
            app()
        except UserError as error:
            code = output.fail(str(error))
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def index(make_wav, tmp_path):
    lines = ["path,speaker,sex"]
    for n in range(8):
        make_wav(f"w/{n}.wav", seconds=0.5, seed=n)
        lines.append(f"w/{n}.wav,s{n // 2},{'FM'[n // 2 % 2]}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    return tmp_path / "index.csv"


def test_table_then_split(cli, index, tmp_path):
    result = cli("import", "table", index, "--out", tmp_path / "m.jsonl.gz", "--json")
    assert result.code == 0
    assert json.loads(result.out) == {
        "manifest": str(tmp_path / "m.jsonl.gz"),
        "recordings": 8,
        "speakers": 4,
        "hours": 0.001,
        "sample_rates": [48_000],
        "skipped": [],
    }
    result = cli("split", tmp_path / "m.jsonl.gz", "--out", tmp_path / "s", "--fractions", 0.5, 0.25, 0.25, "--json")
    assert result.code == 0
    parts = json.loads(result.out)["parts"]
    assert [parts[name]["speakers"] for name in ("train", "validation", "test")] == [2, 1, 1]
    assert sum(len(read_rows(part["manifest"])) for part in parts.values()) == 8


def test_for_people(cli, index, tmp_path):
    result = cli("import", "table", index, "--out", tmp_path / "m.jsonl")
    assert result.out.startswith("8 recordings of 4 speakers, 0.00 h, 48000 Hz: ")
    assert result.err == ""
    result = cli("split", tmp_path / "m.jsonl", "--out", tmp_path / "s")
    first, *_ = parts = result.out.splitlines()[:3]
    assert [line.split(":")[0] for line in parts] == ["train", "validation", "test"]
    assert first.endswith(f"speakers: {tmp_path / 's' / 'train.jsonl.gz'}")


def test_folders_kaldi_and_lhotse(cli, index, tmp_path):
    assert cli("import", "table", index, "--out", tmp_path / "t.jsonl").code == 0
    (tmp_path / "k").mkdir()
    (tmp_path / "k/wav.scp").write_text(f"a {tmp_path}/w/0.wav\n")
    (tmp_path / "k/utt2spk").write_text("a s\n")
    for number, source in (
        (8, ("folders", tmp_path)),
        (1, ("kaldi", tmp_path / "k")),
        (8, ("lhotse", tmp_path / "t.jsonl")),
    ):
        result = cli("import", *source, "--out", tmp_path / "m.jsonl.gz", "--json")
        assert result.code == 0, result.err
        assert json.loads(result.out)["recordings"] == number == len(read_rows(tmp_path / "m.jsonl.gz"))


def refused(result: Result, *words: str) -> None:
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


def break_file(path, how):
    if how == "missing":
        path.unlink()
    elif how == "moved":
        path.rename(path.with_name("elsewhere.wav"))
    else:
        size = {"empty": 0, "truncated": path.stat().st_size // 2, "header only": 44}[how]
        os.truncate(path, size)


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "header only"])
def test_a_bad_file(cli, index, tmp_path, how):
    break_file(tmp_path / "w/3.wav", how)
    out = tmp_path / "m.jsonl.gz"
    refused(cli("import", "table", index, "--out", out), "Line 5 of", "3.wav", "only bad one of 8")
    assert not out.exists()
    result = cli("import", "table", index, "--out", out, "--skip-bad", "--json")
    assert result.code == 0
    assert len(json.loads(result.out)["skipped"]) == 1
    assert len(read_rows(out)) == 7
    result = cli("import", "table", index, "--out", out, "--skip-bad")
    assert result.err.startswith("Skipped: Line 5 of")


def test_a_silent_file_is_found_on_demand(cli, index, tmp_path):
    path = tmp_path / "w/3.wav"
    whole = path.read_bytes()
    path.write_bytes(whole[:44] + bytes(len(whole) - 44))
    out = tmp_path / "m.jsonl"
    refused(cli("import", "table", index, "--out", out, "--check-samples"), "every sample is zero")
    assert not out.exists()
    assert cli("import", "table", index, "--out", out).code == 0


def test_wrong_tables(cli, index, tmp_path):
    out = tmp_path / "m.jsonl"
    refused(cli("import", "table", index, "--out", out, "--speaker-column", "who"), "`who`", "`path`, `speaker`, `sex`")
    refused(cli("import", "table", index, "--out", tmp_path / "m.csv"), "*.jsonl")
    refused(cli("import", "table", index, "--out", out, "--channel", "1"), "no channel 1", "first of 8 bad ones")
    with index.open("a") as file:
        file.write("\nw/0.wav,s9,F\n")
    refused(cli("import", "table", index, "--out", out), "Line 10 of", "the same recording as Line 2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.csv", "w"]


def test_a_manifest_whose_files_moved(cli, index, tmp_path):
    assert cli("import", "table", index, "--out", tmp_path / "m.jsonl").code == 0
    break_file(tmp_path / "w/3.wav", "moved")
    refused(cli("split", tmp_path / "m.jsonl", "--out", tmp_path / "s"), "1 of the 8 sound files", "3.wav")
    assert not (tmp_path / "s").exists()


def test_a_full_disk_keeps_the_old_manifest(cli, index, tmp_path, monkeypatch):
    out = tmp_path / "m.jsonl"
    assert cli("import", "table", index, "--out", out).code == 0
    before = out.read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())

    def full(rows, file, folder):
        file.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(manifest_module, "save_rows", full)
    refused(cli("import", "table", index, "--out", out), "disk is full")
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.realdata
def test_a_corpus_of_real_speech_is_imported_whole(cli, shared_data, tmp_path):
    table = shared_data / "speechocean_adult16k/index.csv"
    out = tmp_path / "m.jsonl.gz"
    assert cli("import", "table", table, "--out", out).code == 0
    rows = read_rows(out)
    assert len(rows) == len(table.read_text(encoding="utf-8").splitlines()) - 1
    assert len({row.speaker for row in rows}) == 128
