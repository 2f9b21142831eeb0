import subprocess
import sys

import pytest

from ..tiny import run_cli

HEAVY = ("torch", "lhotse", "scipy", "matplotlib", "numpy", "sklearn", "soundfile", "pydantic")


def test_help_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['vivavoce', '--help']\n"
        "from vivavoce.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for command in ("quickstart", "import", "split", "simulate", "train", "evaluate", "verify"):
        assert command in done.stdout


def test_the_module_runs_as_the_command_does():
    done = subprocess.run([sys.executable, "-m", "vivavoce", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vivavoce ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["train"],
        ["train", "c.yaml", "--out"],
        ["train", "c.yaml", "--out", "x", "--nonsense"],
        ["verify", "run", "--test", "d.wav"],
        ["evaluate", "run", "m.jsonl", "--crop-s", "long"],
        ["quickstart", "--workers", "0"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_with_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run_cli(*words)
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["quickstart", "import", "split", "simulate", "train", "evaluate", "verify"])
def test_every_command_explains_itself(command):
    result = run_cli(command, "--help")
    assert result.code == 0
    assert "Usage" in result.out
