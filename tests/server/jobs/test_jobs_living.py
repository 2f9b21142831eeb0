import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from vivavoce.errors import UserError
from vivavoce.server import jobs
from vivavoce.server.jobs import Ended
from vivavoce.server.kinds import Launcher
from vivavoce.server.remote import processes
from vivavoce.server.ssh import Connection

from ..sshd import Sshd, needs_tmux
from ..working import end, own_folder, printed, slot, start, state, wait_for, work_folder


@pytest.mark.parametrize("launcher", [Launcher.NOHUP, pytest.param(Launcher.TMUX, marks=needs_tmux)])
def test_job_outlives_connection_and_sshd(server: Sshd, launcher: Launcher) -> None:
    with own_folder(server, launcher=launcher) as connection:
        job = start(connection, "sh", "-c", "until [ -e go ]; do sleep 0.05; done; echo gone on; exit 7")
        assert job.launcher == launcher
        assert job.state == "running"
        supervisor = slot(job, "pid.json")["supervisor"]["pid"]
        assert os.getsid(supervisor) == supervisor  # what ends a login's session does not reach it
        server.stop()
        (work_folder(connection, server) / "go").touch()
        wait_for(lambda: Path(job.folder, "exit.json").read_text().strip())
        server.start()
        assert jobs.find_job(connection, connection.profile).code == 7
        assert printed(job) == "gone on\n"


def test_followed_log_is_whole_across_cuts(connection: Connection, server: Sshd) -> None:
    text = (
        "import os, sys, time\n"
        "for part in range(3):\n"
        "    sys.stdout.buffer.write(b'%d ' % part + bytes(range(256)) * 400 + '\\u00e9'.encode()[: 1 + part % 2])\n"
        "    sys.stdout.flush()\n"
        "    while not os.path.exists('go%d' % part): time.sleep(0.02)\n"
    )
    job = start(connection, "python3", "-c", text)
    got, told = [], []
    for part in jobs.follow(connection, connection.profile, tell=told.append):
        got.append(part)
        size = sum(len(one) for one in got if isinstance(one, bytes))
        if not isinstance(part, bytes) or size < Path(job.folder, "log").stat().st_size:
            continue
        number = len(list(work_folder(connection, server).glob("go*")))
        if number < 2:
            assert server.cut()
        (work_folder(connection, server) / f"go{number}").touch()
    assert isinstance(got[-1], Ended)
    assert got[-1].job.code == 0
    assert b"".join(got[:-1]) == Path(job.folder, "log").read_bytes()
    assert len(told) >= 2
    assert "trying to connect again" in told[0]
    assert told[1] == "Connected again."


def test_follow_gives_up_when_the_server_stays_away(
    connection: Connection, server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RETRY_FOR_S", 0.1)
    monkeypatch.setattr(jobs, "RETRY_EVERY_S", 0.05)
    start(connection, "sh", "-c", "echo on; sleep 60")
    following = jobs.follow(connection, connection.profile)
    assert next(following) == b"on\n"
    server.stop()
    with pytest.raises(UserError, match="no SSH server listens"):
        list(following)
    server.start()


def test_what_a_job_leaves_behind_is_ended_too(connection: Connection) -> None:
    job = start(connection, "sh", "-c", "sleep 50 & sleep 60 & exit 0")
    assert end(connection, job).state == "finished"
    wait_for(lambda: not processes.of_job(job.folder))


def test_program_killed_is_failed_by_signal(connection: Connection) -> None:
    job = start(connection, "sleep", "100")
    os.kill(slot(job, "pid.json")["leader"]["pid"], signal.SIGKILL)
    ended = end(connection, job)
    assert (ended.state, ended.code, ended.signal) == ("failed", 137, 9)


def test_supervisor_that_is_told_to_end_tells_the_program(connection: Connection) -> None:
    job = start(connection, "sh", "-c", "trap 'echo saved; exit 5' TERM; echo up; sleep 100 & wait")
    wait_for(lambda: printed(job) == "up\n")
    os.kill(slot(job, "pid.json")["supervisor"]["pid"], signal.SIGTERM)
    ended = end(connection, job)
    assert (ended.state, ended.code) == ("failed", 5)
    assert printed(job) == "up\nsaved\n"


def test_stop_lets_the_program_end_by_itself(connection: Connection) -> None:
    job = start(connection, "sh", "-c", "trap 'echo saved; exit 0' TERM; echo up; sleep 100 & wait")
    wait_for(lambda: printed(job) == "up\n")
    stopped, was_running = jobs.stop_job(connection, connection.profile)
    assert was_running
    assert (stopped.id, stopped.state, stopped.code) == (job.id, "stopped", 0)
    assert printed(job) == "up\nsaved\n"
    assert jobs.stop_job(connection, connection.profile, job.id) == (stopped, False)
    with pytest.raises(UserError, match="No job of this work folder is running"):
        jobs.stop_job(connection, connection.profile)


def test_stop_kills_all_of_the_job_and_nothing_else(connection: Connection, server: Sshd) -> None:
    # As children of torchrun do, one has a session of its own; and none listens.
    stubborn = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    other = start(connection, "sleep", "100", name="other")
    foreign = subprocess.Popen(["sleep", "100"], env={"HOME": str(server.home), "VIVAVOCE_JOB": "another"})
    job = start(connection, "sh", "-c", f'setsid sh -c "$0" & {stubborn}', stubborn)
    wait_for(lambda: len(printed(job).split()) == 2)
    with pytest.raises(UserError, match=rf"Several jobs are running: {other.id}, {job.id}; name one"):
        jobs.stop_job(connection, connection.profile)
    stopped, _ = jobs.stop_job(connection, connection.profile, job.id, grace_s=0.3)
    assert (stopped.state, stopped.signal) == ("stopped", 9)
    assert not any(processes.identity(int(pid)) for pid in printed(job).split())
    assert foreign.poll() is None
    assert state(connection, other) == "running"
    foreign.kill()
    foreign.wait()


def test_number_of_another_process_is_not_ours(connection: Connection) -> None:
    job = end(connection, start(connection, "true"))
    foreign = subprocess.Popen(["sleep", "100"], start_new_session=True)
    known = processes.identity(foreign.pid)
    assert known is not None
    assert foreign.pid in processes.of_job("/no job", known)
    later = {**known, "started": known["started"] - 1}
    assert not processes.alive(later)
    Path(job.folder, "pid.json").write_text(json.dumps({**slot(job, "pid.json"), "leader": later, "supervisor": later}))
    Path(job.folder, "exit.json").write_text(" ")
    assert state(connection) == "lost"
    assert not jobs.stop_job(connection, connection.profile, job.id)[1]
    assert foreign.poll() is None
    foreign.kill()
    foreign.wait()


def test_job_of_another_machine_with_the_same_home(connection: Connection) -> None:
    job = start(connection, "sleep", "100")
    for name in ("pid.json", "job.json"):
        Path(job.folder, name).write_text(json.dumps({**slot(job, name), "host": "elsewhere"}))
    seen = jobs.find_job(connection, connection.profile)
    assert (seen.state, seen.note) == ("running", "it was started on elsewhere and is only seen from there")
    with pytest.raises(UserError, match=r"started on elsewhere, and this is .*; stop it from there"):
        jobs.stop_job(connection, connection.profile, job.id)
