import io
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from vivavoce.cli.gpus import table, watch_gpus
from vivavoce.errors import UserError
from vivavoce.server.gpus import Gpu, GpuProcess, remote_gpus
from vivavoce.server.profile import Profile
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection

from ..tiny import assert_refused, run_cli
from .nvidia_smi import install, program, recorded, sample
from .sshd import Sshd, hear_signals

NOW = 1796030000.0  # 30 Nov 2026 09:13 UTC


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def gpus_of(name: str) -> list[Gpu]:
    return [Gpu.from_dict(gpu) for gpu in recorded(name)]


def printed(found: list[Gpu], width: int = 110) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table(found, NOW))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


# --- over the connection ------------------------------------------------------------------------------------------


def test_server_says_what_nvidia_smi_says_there(sshd: Sshd, connection: Connection) -> None:
    for name in ("idle", "busy", "mig", "lost", "lost-fields", "old"):
        install(sshd, name)
        sshd.program("ps", f"#!/bin/sh\nprintf %s {shlex.quote(sample(f'{name}.owners.txt'))}\n")
        assert remote_gpus(connection) == gpus_of(name), name


def test_one_command_is_enough_and_nvidia_smi_all_that_is_needed(
    sshd: Sshd, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(sshd, "busy")
    tools = {"sh", "sed", "tr", "ps", "nvidia-smi"}  # POSIX, but for the last
    sshd.without(*(path.name for path in sshd.bin.iterdir() if path.name not in tools))
    commands = []
    monkeypatch.setattr(
        connection, "popen", lambda command: commands.append(command) or Connection.popen(connection, command)
    )
    assert len(remote_gpus(connection)) == 4
    assert commands == ["exec sh -s"]


def test_whose_processes_they_are_comes_from_the_server(sshd: Sshd, connection: Connection) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        install(sshd, "busy", _51377=process.pid)
        try:
            found = remote_gpus(connection)[1].processes
        finally:
            process.kill()
    assert [(p.pid, p.user, p.command) for p in found] == [(process.pid, sshd.user, "sleep 60")]
    assert abs((found[0].since or 0) - time.time()) < 10


def test_driver_that_fails_there_is_refused_in_one_sentence(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    assert_refused(run_cli("server", "gpus", "lab"), "no nvidia-smi")
    for name, sentence in {"fails-not-loaded": "is not loaded", "fails-mismatch": "reboot"}.items():
        sshd.program("nvidia-smi", program(sample(f"{name}.txt"), sample(f"{name}.txt"), 9))
        assert_refused(run_cli("server", "gpus", "lab"), sentence)
        assert_refused(run_cli("server", "gpus", "lab", "--json"), sentence)


def test_command_prints_a_table_or_one_document(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    install(sshd, "busy")
    shown = run_cli("server", "gpus", "lab")
    assert shown.code == 0
    assert shown.err == ""
    assert re.search(r"2  A100-SXM4-40GB .* free", shown.out)
    document = run_cli("server", "gpus", "lab", "--json").json
    assert document["server"] == "lab"
    first = document["gpus"][0]
    assert (first["index"], first["memory_used_mib"], first["utilisation"], first["free"]) == (0, 30724, 0.97, [])
    assert [process["pid"] for process in first["processes"]] == [2211, 48213, 48214]
    assert document["gpus"][2]["free"] == [document["gpus"][2]["uuid"]]


def test_watch_is_for_a_terminal_and_a_table(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    assert_refused(run_cli("server", "gpus", "lab", "--watch", "--json"), "--json", "--watch")
    assert_refused(run_cli("server", "gpus", "lab", "--watch"), "no terminal")
    assert_refused(run_cli("server", "gpus", "nowhere"), "nowhere")


# --- the table ------------------------------------------------------------------------------------------------------


def test_table_has_a_line_for_each_gpu_and_each_process() -> None:
    lines = printed(gpus_of("busy"))
    assert lines[2] == "  0  A100-SXM4-40GB  ████████░░  30.0 /  40.0   97%   64 °C"
    assert re.fullmatch(
        r"     alice {28}48213   22\.0  29 Nov 18:40 \(14 h\)  python train.py --name first run", lines[4]
    )
    assert re.search(r"a-colleague-with-a-long-name +51377 +37\.2  30 Nov 08:55 \(18 min\)  python3 -m sweep", lines[7])
    assert lines[8].endswith("  free")
    assert lines[9].endswith("  user not shown")
    assert len(lines) == 10
    assert max(map(len, lines)) <= 110


def test_table_shows_mig_instances_with_their_processes() -> None:
    lines = printed(gpus_of("mig"))
    assert [line.split()[0] for line in lines[2:]] == ["0", "MIG", "MIG", "?", "1", "2"]
    assert lines[3].endswith("free")
    assert not lines[4].endswith("free")
    assert lines[7].endswith("MIG is on and has no instance")


def test_lost_gpu_is_told_in_its_line() -> None:
    assert [line.rsplit("  ", 1)[1] for line in printed(gpus_of("lost"))[2:]] == ["free", "Unknown Error", "free"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_are_cut_to_the_width(width: int) -> None:
    lines = printed(gpus_of("busy"), width)
    assert len(lines) == 10
    assert max(map(len, lines)) <= width


def test_command_cannot_steer_the_terminal() -> None:
    process = GpuProcess(7, "bob", "python \x1b[2J\x07[bold red]x\n.py", NOW + 60, 1, "python", False, None)
    gpu = gpus_of("idle")[1]
    lines = printed([Gpu(**{**vars(gpu), "processes": (process,)})])
    assert lines[-1].endswith("(0 s)   python ?[2J?[bold red]x .py")


# --- refreshed in place -----------------------------------------------------------------------------------------------


def test_watch_goes_on_after_a_failure_and_ends_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [UserError("The connection to lab ended."), gpus_of("busy")]

    def read() -> list[Gpu]:
        if not answers:
            raise KeyboardInterrupt
        answer = answers.pop(0)
        if isinstance(answer, UserError):
            raise answer
        return answer

    console = Console(file=io.StringIO(), force_terminal=True, width=110, height=50)
    watch_gpus(read, gpus_of("idle"), 0.01, console)
    assert isinstance(console.file, io.StringIO)
    frames = re.split(r"GPU  Model", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()))[1:]
    assert "Ctrl-C ends" in frames[0]
    assert "The connection to lab ended. Trying again." in frames[1]
    assert frames[1].count("free") == 2  # the last that was seen stays
    assert "Trying again" not in frames[2]
    assert "python3 -m sweep" in frames[2]


def test_watch_survives_a_cut_connection(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    install(sshd, "idle")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "vivavoce", "server", "gpus", "lab", "--watch", "--every", "0.2"]
    with subprocess.Popen(
        words,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=hear_signals,
    ) as run:
        os.close(theirs)
        try:
            read_until(ours, "Ctrl-C ends")
            sshd.program("nvidia-smi", '#!/bin/sh\ntouch "$HOME/asked"\nsleep 30\n')
            wait_for((sshd.home / "asked").exists)
            sshd.cut()
            install(sshd, "busy")
            read_until(ours, "Trying again")
            read_until(ours, "51377")
            run.send_signal(signal.SIGINT)
            assert run.wait(10) == 0
        finally:
            run.kill()
            os.close(ours)


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_until(terminal: int, words: str) -> None:
    """Read what appears on a terminal until the words do."""
    seen, deadline = "", time.monotonic() + 20
    while words not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536).decode(errors="replace")
