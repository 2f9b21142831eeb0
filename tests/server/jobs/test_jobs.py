import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.server import jobs
from vivavoce.server.launch import Launch
from vivavoce.server.remote.jobs import _last_lines, _make_folder
from vivavoce.server.ssh import Connection

from ..conftest import make_profile
from ..sshd import Sshd
from ..test_ssh import NASTY
from ..working import end, printed, start, state, wait_for, work_folder


@pytest.mark.parametrize(
    ("argv", "state", "code", "number"),
    [
        (("sh", "-c", "echo done"), "finished", 0, None),
        (("sh", "-c", "echo oh >&2; exit 3"), "failed", 3, None),
        (("sh", "-c", "kill -9 $$"), "failed", 137, 9),
        (("no such program", "x"), "failed", 127, None),
        (("/", "x"), "failed", 126, None),
    ],
)
def test_exit_code_is_kept(
    connection: Connection, argv: tuple[str, ...], state: str, code: int, number: int | None
) -> None:
    job = end(connection, start(connection, *argv))
    assert (job.state, job.code, job.signal) == (state, code, number)
    assert job.ended is not None
    assert job.began is not None
    assert job.seconds == pytest.approx(job.ended - job.began)
    assert jobs.list_jobs(connection, connection.profile) == [job]
    expected = {0: "done\n", 3: "oh\n", 137: "", 127: "no such program cannot be started", 126: "/ cannot be started"}
    assert expected[code] in printed(job)


def test_words_arrive_as_they_are_in_the_work_folder(connection: Connection, server: Sshd) -> None:
    words = (*NASTY, "é" * 3, "x\ty", "{job}", "%s")
    text = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), sys.stdin.read()]))"
    job = start(connection, "python3", "-c", text, *words)
    assert end(connection, job).code == 0
    assert json.loads(printed(job)) == [list(words), str(work_folder(connection, server)), ""]
    assert job.words == ("python3", "-c", text, *words)


def test_job_runs_in_the_environment_of_the_login(connection: Connection, server: Sshd) -> None:
    server.set_environment(OWN="it's mine")
    bin_folder = server.home / "env" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "tool").write_text("#!/bin/sh\nenv\n")
    (bin_folder / "tool").chmod(0o755)
    job = start(connection, "tool", launch={"needs": ("tool",), "environment": {"A": "a b"}}, environment={"B": "'"})
    end(connection, job)
    found = dict(line.partition("=")[::2] for line in printed(job).splitlines())
    assert (found["OWN"], found["A"], found["B"], found["HOME"]) == ("it's mine", "a b", "'", str(server.home))
    assert found["VIVAVOCE_JOB"] == job.folder
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert not [name for name in found if name.startswith(("SSH_", "TMUX"))]


def test_environment_that_is_not_set_up_is_said(connection: Connection, server: Sshd) -> None:
    with pytest.raises(UserError, match=r"no vivavoce in .*env/bin; .*`vivavoce server setup"):
        start(connection, "vivavoce", launch={"needs": ("vivavoce",)})
    assert not list((server.home / connection.profile.state).glob("jobs/*"))


def test_program_travels_with_the_job(connection: Connection) -> None:
    job = jobs.start(connection, connection.profile, Launch(["python3"], "env/bin"), program="print('é' * 3)\n")
    assert (job.id.split("-")[-1], job.argv) == ("run", ("python3", f"{job.folder}/program.py"))
    assert end(connection).code == 0
    assert printed(job) == "é" * 3 + "\n"


def test_secrets_are_in_no_file_and_no_argument(connection: Connection, server: Sshd) -> None:
    secret, value = "t0p-s3cr3t-of-ada", "value-of-a-variable"
    job = start(
        connection,
        *("sh", "-c", 'printf %s "$TOKEN$WORD" | wc -c; sleep 100'),
        secrets={"TOKEN": secret},
        environment={"WORD": value},
    )
    assert job.environment == ("WORD",)
    wait_for(lambda: printed(job).strip() == str(len(secret + value)))
    for path in server.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert secret.encode() not in content, path
            assert value.encode() not in content, path
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if secret in line or value in line]
    modes = {path.name: path.stat().st_mode & 0o777 for path in Path(job.folder).iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert Path(job.folder).stat().st_mode & 0o777 == 0o700


def test_full_disk_starts_nothing(server: Sshd, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(48)
    connection = Connection(make_profile(server).model_copy(update={"workdir": str(disk)}), ask=False)
    with pytest.raises(UserError, match=f"disk of {disk} on the server is full, so no job was started"):
        start(connection, "true")
    assert not list(disk.glob(".vivavoce/jobs/*"))
    assert jobs.list_jobs(connection, connection.profile) == []


def test_disk_that_fills_up_loses_no_exit_code(server: Sshd, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(1024)
    connection = Connection(make_profile(server).model_copy(update={"workdir": str(disk)}), ask=False)
    job = start(connection, "sh", "-c", "cat /dev/zero; echo; exit 5")
    assert jobs.find_job(connection, connection.profile, job.id).id == job.id
    wait_for(lambda: state(connection) != "running")
    assert jobs.find_job(connection, connection.profile).code == 5


def test_jobs_are_found_by_a_part_of_the_id(connection: Connection, server: Sshd) -> None:
    profile = connection.profile
    with pytest.raises(UserError, match="No job was started"):
        jobs.find_job(connection, profile)
    first, second = start(connection, "true", name="first; one"), start(connection, "true", name="second")
    assert first.id.endswith("-first-one")
    assert jobs.find_job(connection, profile).id == second.id
    for key in (first.id, "first", first.id[:-2]):
        assert jobs.find_job(connection, profile, key).id == first.id
    with pytest.raises(UserError, match=rf"could be any of {first.id}, {second.id}; write more"):
        jobs.find_job(connection, profile, first.id[:4])
    with pytest.raises(UserError, match=rf"no job 'third'; the last ones are {first.id}, {second.id}"):
        jobs.find_job(connection, profile, "third")


def test_same_second_and_name_give_two_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "1130-142501")
    request = {"state": str(tmp_path), "name": "/;train one\n", "kind": "run"}
    names = [Path(_make_folder(request)).name for _ in range(3)]
    assert names == ["1130-142501-train-one", "1130-142501-train-one-2", "1130-142501-train-one-3"]


def test_ended_job_can_be_removed(connection: Connection) -> None:
    job = start(connection, "sleep", "100")
    with pytest.raises(UserError, match=f"Job {job.id} is still running; stop it first"):
        jobs.remove_job(connection, connection.profile, job.id)
    jobs.stop_job(connection, connection.profile, job.id)
    assert jobs.remove_job(connection, connection.profile, job.id).id == job.id
    assert jobs.list_jobs(connection, connection.profile) == []
    assert not Path(job.folder).exists()


@given(text=st.lists(st.sampled_from([b"a", b"\n", b"bc\n", b"\r", b"\xc3"])).map(b"".join), count=st.integers(0, 6))
def test_last_lines_are_those_of_the_whole(text: bytes, count: int) -> None:
    lines = text.split(b"\n")
    ended = lines[:-1] if lines[-1] == b"" else lines
    joined = b"\n".join(ended[max(0, len(ended) - count) :]) if count else b""
    assert text[_last_lines(io.BytesIO(text), count) :].removesuffix(b"\n") == joined


def test_log_begins_with_its_last_lines(connection: Connection) -> None:
    job = start(connection, "sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo line $i; done")
    end(connection, job)
    assert jobs.read_log(connection, connection.profile, lines=2) == b"line 29999\nline 30000\n"
    whole = jobs.read_log(connection, connection.profile)
    assert hashlib.sha256(whole).digest() == hashlib.sha256(Path(job.folder, "log").read_bytes()).digest()
