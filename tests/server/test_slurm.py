"""Jobs of a real Slurm."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vivavoce.server import jobs
from vivavoce.server.launch import describe, launch, slurm_request
from vivavoce.server.profile import Profile, Slurm
from vivavoce.server.remote.answer import Refused
from vivavoce.server.remote.slurm import cancel, states, submit
from vivavoce.server.ssh import Connection

from .conftest import make_profile
from .slurmd import NODES, ONE, running_slurm, why_not
from .slurmd import Slurm as Cluster
from .sshd import Sshd

PATIENCE_S = 20
# In place of the supervisor: what it sees, then it waits until it is told to go on or to end.
SUPERVISOR = """
import json, os, pathlib, signal, sys, time
def end(number, frame):
    print("ended by", number, flush=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, end)
print(json.dumps(dict(os.environ)), flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.05)
sys.exit(int(pathlib.Path("go").read_text()))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, by the programs on PATH, and without jobs at the end."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.config))
    yield cluster
    cluster.end_jobs()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder, with what stands for the supervisor in it."""
    return make_folder(tmp_path / "ada's work")


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "supervise.py").write_text(SUPERVISOR)
    return folder


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for(number: str, state: str) -> str:
    """Wait until a job has come to a state; returns Slurm's reason."""
    wait_until(lambda: states([number])[number]["state"] == state)
    return states([number])[number]["reason"]


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def seen_by_job(folder: Path) -> dict[str, str]:
    """What the job saw."""
    wait_until(lambda: log(folder))
    return json.loads(log(folder)[0])


@pytest.mark.parametrize(("code", "reason"), [(0, "COMPLETED"), (3, "FAILED")])
def test_job_runs_to_its_end(slurm: Cluster, folder: Path, code: int, reason: str) -> None:
    number = submit(str(folder), {"id": "1130-142501-train"}, {**ONE, "gpus": 2})
    assert wait_for(number, "running") in ("None", "")
    seen = seen_by_job(folder)
    assert (seen["SLURM_JOB_NAME"], seen["SLURM_NNODES"]) == ("vivavoce-1130-142501-train", "1")
    assert seen["CUDA_VISIBLE_DEVICES"] == "0,1"
    (folder / "go").write_text(str(code))
    assert wait_for(number, "ended") == reason
    assert f"ExitCode={code}:0" in ask("scontrol", "show", "job", number)


def test_what_the_log_held_stays(slurm: Cluster, folder: Path) -> None:
    (folder / "log").write_text("{}\n")
    (folder / "go").write_text("0")
    wait_for(submit(str(folder), {"id": "a"}, ONE), "ended")
    assert log(folder)[0] == "{}"
    assert len(log(folder)) == 2


@pytest.mark.parametrize("name", ["100%%j", "100%j \\\\a"])
def test_log_lies_in_a_folder_of_any_name(slurm: Cluster, tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / name)
    (folder / "go").write_text("0")
    assert wait_for(submit(str(folder), {"id": "a"}, ONE), "ended") == "COMPLETED"
    assert seen_by_job(folder)["PWD"] == str(folder)


def test_job_without_gpu_takes_none(slurm: Cluster, folder: Path) -> None:
    number = submit(str(folder), {"id": "a"}, {**ONE, "gpus": 0, "cpus": 3})
    assert seen_by_job(folder)["SLURM_CPUS_PER_TASK"] == "3"
    assert "gres" not in ask("scontrol", "show", "job", number)


def test_job_that_waits_says_why(slurm: Cluster, folder: Path) -> None:
    both = submit(str(folder), {"id": "first"}, {**ONE, "gpus": 2, "nodes": 2})
    seen_by_job(folder)
    waiting = submit(str(folder), {"id": "second"}, ONE)
    assert wait_for(waiting, "queued") in ("Resources", "Priority", "None")
    known = states([both, waiting, "999999"])
    assert [known[number]["state"] for number in (both, waiting, "999999")] == ["running", "queued", "ended"]
    cancel(waiting)
    assert wait_for(waiting, "ended") == "CANCELLED"
    assert states([both])[both]["state"] == "running"


def test_supervisor_is_asked_to_end_before_it_is_killed(slurm: Cluster, folder: Path) -> None:
    number = submit(str(folder), {"id": "a"}, ONE)
    seen_by_job(folder)
    cancel(number)
    wait_for(number, "ended")
    assert "ended by 15" in log(folder)
    cancel(number)  # what has ended stays so
    cancel("999999")


def test_job_of_long_ago_is_over(slurm: Cluster) -> None:
    assert states(["999999"]) == {"999999": {"state": "ended", "reason": ""}}
    assert states([]) == {}


@pytest.mark.parametrize("text", ["two words", "it's", '"quoted"', "$HOME `x` $(x)", "\\", "a\\b", "#note", "é 100%"])
def test_options_arrive_as_they_are(slurm: Cluster, folder: Path, text: str) -> None:
    number = submit(str(folder), {"id": "a"}, {**ONE, "options": [f"--comment={text}", "--hold"]})
    assert ask("squeue", "--noheader", f"--jobs={number}", "--format=%k") == text
    assert states([number]) == {number: {"state": "queued", "reason": "JobHeldUser"}}


def test_options_of_the_profile_win(slurm: Cluster, folder: Path) -> None:
    (folder / "go").write_text("0")
    number = submit(str(folder), {"id": "a"}, {**ONE, "options": ["--gres=gpu:2", f"--exclude={NODES[0]}"]})
    assert seen_by_job(folder)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert ask("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%N") == NODES[1]


def test_variables_of_the_login_change_nothing(slurm: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those by which sbatch would put the log elsewhere or make many jobs, and squeue show fewer."""
    hostile = {
        "SBATCH_OUTPUT": str(folder / "elsewhere"),
        "SBATCH_ARRAY_INX": "1-3",
        "SBATCH_PARTITION": "none",
        "SBATCH_TIMELIMIT": "none",
        "SBATCH_EXPORT": "NONE",
        "SBATCH_GRES": "gpu:7",
        "SBATCH_WAIT": "1",
        "SQUEUE_PARTITION": "other",
        "SQUEUE_FORMAT": "%k",
        "SQUEUE_STATES": "PENDING",
        "SCANCEL_PARTITION": "other",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KEPT", "it's kept")
    number = submit(str(folder), {"id": "a"}, {**ONE, "partition": "lab", "time": "1:00"})
    wait_for(number, "running")
    assert seen_by_job(folder)["KEPT"] == "it's kept"
    cancel(number)
    wait_for(number, "ended")
    assert not (folder / "elsewhere").exists()


def test_partition_of_the_login_holds_where_the_profile_has_none(
    slurm: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "none")
    with pytest.raises(Refused, match="Invalid partition"):
        submit(str(folder), {"id": "a"}, ONE)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"partition": "none"}, "Slurm did not take the job: .*Invalid partition"),
        ({"gpus": 5}, "Slurm did not take the job: .*"),
        ({"time": "soon"}, "Slurm did not take the job: Invalid --time specification"),
        ({"options": ["--no-such-option"]}, "Slurm did not take the job"),
    ],
)
def test_what_slurm_refuses_is_said(slurm: Cluster, folder: Path, asked: dict, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence) as caught:
        submit(str(folder), {"id": "a"}, {**ONE, **asked})
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


# --- together with the rest ----------------------------------------------------------------------------------------


@pytest.fixture
def session(slurm: Cluster, sshd: Sshd) -> Iterator[tuple[Connection, Profile]]:
    """A connection to a login node of the cluster."""
    slurm.lend(sshd)
    profile = make_profile(sshd, slurm=Slurm(partition="lab"))
    connection = Connection(profile, ask=False)
    yield connection, profile
    connection.close()


def begin(session: tuple[Connection, Profile], code: str, gpus: int = 1, nodes: int = 1, **more: Any) -> jobs.Job:
    connection, profile = session
    started = launch(profile, ["sh", "-c", code], program=True, gpus=gpus if nodes > 1 else 1, nodes=nodes)
    return jobs.start(connection, profile, started, slurm=slurm_request(profile, gpus, nodes), **more)


def text_of(session: tuple[Connection, Profile]) -> str:
    """What the only job printed."""
    return session[0].script('cat "$1"/.vivavoce/jobs/*/log', session[1].workdir).out


def test_job_over_ssh(session: tuple[Connection, Profile]) -> None:
    job = begin(session, 'echo "$CUDA_VISIBLE_DEVICES it\'s $SECRET"; exit 5', gpus=2, secrets={"SECRET": "x7"})
    assert job.slurm
    assert job.slurm.isdigit()
    wait_until(lambda: jobs.find_job(*session, job.id).state == "failed")
    ended = jobs.find_job(*session, job.id)
    assert ended.code == 5
    assert text_of(session) == "0,1 it's x7\n"


def test_stop_over_ssh(session: tuple[Connection, Profile]) -> None:
    job = begin(session, "sleep 60")
    wait_until(lambda: jobs.find_job(*session, job.id).state == "running")
    jobs.stop_job(*session, job.id)
    wait_until(lambda: jobs.find_job(*session, job.id).state == "stopped")


def test_machines_are_told_where_to_meet(session: tuple[Connection, Profile], sshd: Sshd) -> None:
    torchrun = sshd.home / session[1].environment_path / "bin" / "torchrun"
    torchrun.parent.mkdir(parents=True)
    torchrun.write_text('#!/bin/sh\necho "$SLURM_PROCID $PET_RDZV_ENDPOINT $PET_RDZV_ID $*"\n')
    torchrun.chmod(0o755)
    job = begin(session, "it's", gpus=2, nodes=2)
    wait_until(lambda: jobs.find_job(*session, job.id).state == "finished")
    assert job.slurm
    words = "--nnodes=2 --rdzv-backend=c10d --nproc-per-node=2 --no-python sh -c it's"
    place = f"{NODES[0]}:{10000 + int(job.slurm)}"
    lines = [f"{node} {place} {job.slurm} {words}" for node in (0, 1)]
    assert sorted(line for line in text_of(session).splitlines() if line[0] in "01") == lines


@pytest.mark.slow
def test_training_on_two_machines(slurm: Cluster, tiny, tmp_path: Path) -> None:
    """The dry run's script, with a torchrun on each of two nodes, which find each other and train one run."""
    bin = Path(sys.executable).parent
    work = tmp_path / "ada's work"
    work.mkdir()
    profile = Profile(host="lab", workdir=str(work), environment={"path": str(bin.parent)}, slurm=Slurm(cpus_per_gpu=1))
    asked = slurm_request(profile, 0, 2)
    words = ["train", str(tiny.config), "--out", "runs/it's two", "--set", "training.epochs=1", "--json"]
    text = describe(launch(profile, words, gpus=0, nodes=2), profile, asked)
    ran = subprocess.run(
        ["sbatch", "--wait"],
        input=text,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        check=False,
    )
    assert ran.returncode == 0, log(tmp_path)
    documents = [line for line in log(tmp_path) if line.startswith("{")]
    assert [json.loads(one)["run"] for one in documents] == ["runs/it's two"]  # the second of two processes is silent
