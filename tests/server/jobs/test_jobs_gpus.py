import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from vivavoce.errors import UserError
from vivavoce.server import jobs
from vivavoce.server.jobs import Devices, Job
from vivavoce.server.kinds import Launcher
from vivavoce.server.remote import processes
from vivavoce.server.ssh import Connection

from .. import nvidia_smi
from ..sshd import Sshd, needs_tmux
from ..working import end, own_folder, printed, slot, start, state, wait_for


def test_supervisor_killed_leaves_a_lost_job_and_free_gpus(connection: Connection, server: Sshd) -> None:
    job = start(connection, "sleep", "100", devices=Devices(1, (0,)))
    with pytest.raises(UserError, match=rf"reserved.*Reserved: GPU 0 for {server.user}'s job {job.id} since"):
        start(connection, "true", devices=Devices(1, (0,)))
    os.kill(slot(job, "pid.json")["supervisor"]["pid"], signal.SIGKILL)
    wait_for(lambda: state(connection) == "lost")
    wait_for(lambda: not processes.of_job(job.folder))  # the kernel ends the program with its supervisor
    lost = end(connection, job)
    assert (lost.state, lost.code, lost.seconds) == ("lost", None, None)
    assert end(connection, start(connection, "true", devices=Devices(1, (0,)))).state == "finished"


def test_gpu_is_chosen_shown_and_given_back(connection: Connection, server: Sshd) -> None:
    uuids = [gpu["uuid"] for gpu in nvidia_smi.recorded("idle")]
    job = start(connection, "sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES"; sleep 100', devices=Devices(len(uuids)))
    assert sorted(gpu["uuid"] for gpu in job.gpus) == sorted(uuids)
    wait_for(lambda: printed(job) == ",".join(gpu["uuid"] for gpu in job.gpus) + "\n")
    with pytest.raises(UserError, match=f"No GPU is free.*{job.id}"):
        start(connection, "true", devices=Devices(1))
    assert start(connection, "sleep", "100", devices=Devices(1, share=True)).gpus
    jobs.stop_job(connection, connection.profile, job.id)
    assert not [one for one in jobs.list_jobs(connection, connection.profile) if one.id == job.id and one.living]


@pytest.mark.parametrize("launcher", [Launcher.NOHUP, pytest.param(Launcher.TMUX, marks=needs_tmux)])
def test_of_two_that_start_at_once_one_wins(server: Sshd, launcher: Launcher) -> None:
    def attempt(connection: Connection) -> Job | str:
        try:
            return start(connection, "sleep", "100", devices=Devices(1, (0,)))
        except UserError as error:
            return str(error)

    with (
        own_folder(server, launcher=launcher) as ada,
        own_folder(server, launcher=launcher) as bob,
        ThreadPoolExecutor(2) as pool,
    ):
        results = list(pool.map(attempt, (ada, bob)))
        left = [one for one in (ada, bob) for _ in (server.home / one.profile.state / "jobs").glob("*")]
    (winner,) = [one for one in results if isinstance(one, Job)]
    (loser,) = [one for one in results if isinstance(one, str)]
    assert f"GPU 0 for {server.user}'s job {winner.id} since" in loser
    assert len(left) == 1


def test_server_without_gpus(connection: Connection, server: Sshd) -> None:
    server.without("nvidia-smi")
    job = start(connection, "sh", "-c", 'echo "${CUDA_VISIBLE_DEVICES-unset}"', devices=Devices(1, required=False))
    assert job.note.startswith("It runs without a GPU: There is no nvidia-smi")
    assert end(connection).gpus == ()
    assert printed(job) == "unset\n"
    with pytest.raises(UserError, match="no nvidia-smi"):
        start(connection, "true", devices=Devices(1))
    server.program("nvidia-smi", nvidia_smi.program(nvidia_smi.sample("fails-mismatch.txt"), code=18))
    with pytest.raises(UserError, match=r"reboot it\. To start without a GPU, add --gpus 0\."):
        start(connection, "true", devices=Devices(1, required=False))
    assert end(connection, start(connection, "true", devices=Devices(0))).state == "finished"
    nvidia_smi.install(server, "idle")
