"""The program that serves a page, `page_program.py`, run as a job runs it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.server import page_program

from .serving import get, refuses, until


def _serve(folder: Path, code: str, *, name: str = "job") -> tuple[subprocess.Popen[str], Path]:
    """Run a piece of `page_program.py` as a job runs it."""
    job = folder / name
    job.mkdir()
    environment = {**os.environ, "HOME": str(folder), "VIVAVOCE_JOB": str(job), page_program.KEY: "sesame"}
    text = f"import sys\nfrom vivavoce.server import page_program\n{code}"
    process = subprocess.Popen(
        [sys.executable, "-c", text], env=environment, cwd=folder, stderr=subprocess.PIPE, text=True
    )
    return process, job / page_program.FOLDER


def test_port_there_that_is_taken_gives_way_to_the_next(tmp_path: Path) -> None:
    pytest.importorskip("jupyterlab")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = f"page_program.free_port = lambda: {port}\npage_program.main('notebook', ['.'], 60)"
        process, place = _serve(tmp_path, code)
        with process:
            until(lambda: any(place.glob("jpserver-*.json")))
            (record,) = place.glob("jpserver-*.json")
            until(lambda: record.read_text().endswith("}"))
            there = json.loads(record.read_text())["port"]
            until(lambda: not refuses(there))
            process.terminate()
            _, said = process.communicate(timeout=20)
    assert there != port
    assert f"The port {port} is already in use" in said


# The clock is a file of the test, and each round of waiting leaves a dot.
CLOCK = """
import time, types
def sleep(seconds):
    open("rounds", "a").write(".")
    time.sleep(0.02)
page_program.time = types.SimpleNamespace(monotonic=lambda: float(open("clock").read()), sleep=sleep)
"""


def test_tensorboard_ends_when_nobody_uses_it(tmp_path: Path) -> None:
    def set_clock(seconds: int) -> None:
        (tmp_path / "new").write_text(str(seconds))
        (tmp_path / "new").replace(tmp_path / "clock")
        seen = _size(tmp_path / "rounds")
        until(lambda: _size(tmp_path / "rounds") > seen + 2 or process.poll() is not None)

    (tmp_path / "clock").write_text("0")
    process, place = _serve(tmp_path, f"{CLOCK}\nsys.exit(page_program.main('tensorboard', ['.'], 60))")
    until(lambda: _size(place / "page.json"))
    set_clock(40)
    page = json.loads((place / "page.json").read_text())
    assert get(f"http://127.0.0.1:{page['port']}{page['path']}")[0] == 200
    set_clock(90)
    assert process.poll() is None
    set_clock(101)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not list(place.iterdir())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@given(
    st.lists(st.sampled_from(["runs", "runs/a", "runs_a", "/runs/a", "..", "../runs", ".", "it's/b c"]), unique=True)
)
def test_each_folder_has_a_link_of_its_own(tmp_path_factory: pytest.TempPathFactory, folders: list[str]) -> None:
    place = page_program.gather(folders, tmp_path_factory.mktemp("gather") / "runs")
    links = {link.readlink() for link in place.iterdir()}
    assert links == {Path(folder).absolute() for folder in folders}
