"""A real Slurm on loopback ports: a controller and two nodes, all on this machine, with invented GPUs."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from .sshd import Sshd, free_port

CLIENTS = ("sbatch", "scancel", "scontrol", "squeue", "srun")
DAEMONS = ("slurmctld", "slurmd")
# Their names are addresses, since processes of a job look for each other by the name of a node.
NODES = ("127.0.0.1", "127.0.0.2")
START_S = 30
# What is asked of Slurm for one GPU by a profile that leaves all else to the cluster.
ONE = {
    "partition": None,
    "account": None,
    "qos": None,
    "time": None,
    "cpus": None,
    "options": [],
    "gpus": 1,
    "nodes": 1,
}

# No munge, cgroups or accounting, none of which is there without root's services; all times as short as can be.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
KillWait=2
GresTypes=gpu
PartitionName=lab Nodes=ALL Default=YES State=UP
"""


def why_not() -> str:
    """Why no Slurm can be started here; empty where one can."""
    missing = [name for name in (*CLIENTS, *DAEMONS) if _path(name) is None]
    return f"{missing[0]} is not installed (Debian: apt-get install slurmctld slurmd slurm-client)" if missing else ""


class Slurm:
    """A cluster of the test's own; `config` is what SLURM_CONF has to name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "slurm.conf"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._write_configs()
        self._daemon("slurmctld")
        for node in NODES:
            self._daemon("slurmd", "-N", node)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._ask("scontrol", "show", "nodes", "--oneliner").count("State=IDLE ") == len(NODES):
                return
            time.sleep(0.1)
        raise AssertionError("\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log")))

    def end_jobs(self) -> None:
        """Kill all jobs and wait until Slurm has forgotten that they run."""
        self._ask("scancel", "--state=PENDING", "--me")
        self._ask("scancel", "--signal=KILL", "--full", "--me")
        deadline = time.monotonic() + START_S
        while self._ask("squeue", "--noheader"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        """End the daemons and whatever they started."""
        for process in self._processes:
            process.terminate()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self._is_ours(process):
                    process.kill()
        for process in self._processes:
            process.wait(10)

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.environ().get("SLURM_CONF") == str(self.config):
            return True
        # What runs a step shows no environment, but holds our log.
        step = process.name().startswith("slurmstepd")
        return step and any(file.path.startswith(str(self.folder)) for file in process.open_files())

    def lend(self, sshd: Sshd) -> None:
        """Give the account on a server the programs of this cluster."""
        for name in CLIENTS:
            (sshd.bin / name).symlink_to(str(_path(name)))
        sshd.set_environment(SLURM_CONF=str(self.config))

    def _write_configs(self) -> None:
        (self.folder / "state").mkdir()
        user = pwd.getpwuid(os.getuid()).pw_name
        config = CONFIG.format(folder=self.folder, host=_host(), port=free_port(), user=user)
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
            config += (
                f"NodeName={node} NodeHostname={_host()} NodeAddr={node} Port={free_port()} CPUs=4 RealMemory=1000 "
                "Gres=gpu:2 State=UNKNOWN\n"
            )
        self.config.write_text(config)
        # Any device serves as a GPU that nothing computes on.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={self.folder}/cgroup\n")

    def _daemon(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            command = [str(_path(name)), "-D", *words, "-f", str(self.config)]
            self._processes.append(
                subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            )

    def _ask(self, *command: str) -> str:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False).stdout

    @property
    def _environment(self) -> dict[str, str]:
        # Without what a test has set for the programs that it calls.
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SCANCEL_", "SQUEUE_"))
        }
        return {**kept, "SLURM_CONF": str(self.config)}


@contextlib.contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A cluster while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="vv-", ignore_cleanup_errors=True) as folder:
        cluster = Slurm(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def _path(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _host() -> str:
    return socket.gethostname().split(".")[0]
