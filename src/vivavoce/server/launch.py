"""The command line of a job: one process, several by `torchrun`, or several machines by Slurm's `srun`."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.profile import Profile
from vivavoce.server.remote.slurm import batch

SHARED = ("train",)  # commands whose processes join each other; `tune` has workers of its own
# Options of sbatch that would take a job's log or end from us.
OURS = {"array", "chdir", "clusters", "error", "job-name", "open-mode", "output", "parsable", "requeue", "wait", "wrap"}
SHORT = {"-a": "array", "-D": "chdir", "-e": "error", "-J": "job-name", "-M": "clusters", "-o": "output", "-W": "wait"}


@dataclass(frozen=True)
class Launch:
    """What runs on the server.

    Attributes:
        argv: The command; programs of the environment stand in it by their bare name, and are found by PATH.
        bin: Folder of the environment's programs, to be put in front of PATH; relative ones are below the home folder.
        needs: Programs that must be in `bin`; where one is missing, the environment is not set up.
        environment: Further variables.
    """

    argv: list[str]
    bin: str
    needs: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def launch(profile: Profile, words: Sequence[str], *, program: bool = False, gpus: int = 1, nodes: int = 1) -> Launch:
    """The command of a job.

    Args:
        profile: The server.
        words: A command of vivavoce such as `train CONFIG`, or a program with its arguments.
        program: The words are a program of the environment, or any on PATH there.
        gpus: Devices on each machine.
        nodes: Machines.

    Raises:
        UserError: no words, a command that runs in one process only, or several machines without Slurm.
    """
    words = list(words)
    if not program and words[:1] == ["vivavoce"]:
        words = words[1:]
    if not words:
        raise UserError("There is nothing to run; write the command after --, such as `-- train CONFIG --out RUN`.")
    if gpus < 0 or nodes < 1:
        raise UserError(f"A job has 0 or more GPUs on 1 or more machines, not {gpus} on {nodes}.")
    if nodes > 1 and profile.slurm is None:
        raise UserError(
            f"--nodes {nodes} needs Slurm, and the profile of {profile.address} has no scheduler; use --gpus on one "
            "machine, or add the server anew with --slurm."
        )
    several = gpus > 1 or nodes > 1
    if several and not program and words[0] not in SHARED:
        raise UserError(
            f"`{words[0]}` runs in one process and cannot use several GPUs or machines, only `train` can; start it "
            "with --gpus 1 on one machine, or several jobs."
        )
    folder = f"{profile.environment_path}/bin"
    if not several:
        return Launch(words if program else ["vivavoce", *words], folder, () if program else ("vivavoce",))
    command = ["--no-python", *words] if program else ["-m", "vivavoce", *words]
    argv = [*_processes(gpus, nodes), *command]
    if nodes > 1:
        argv = [*_machines(profile, gpus, nodes), *argv]
    return Launch(argv, folder, ("torchrun",) if program else ("torchrun", "vivavoce"))


def slurm_request(profile: Profile, gpus: int, nodes: int) -> dict[str, Any] | None:
    """What `remote.slurm` is to ask of Slurm; None where the profile has no scheduler.

    Raises:
        UserError: the profile's options of sbatch would break the job's log or its end.
    """
    if profile.slurm is None:
        return None
    for option in profile.slurm.options:
        name = SHORT.get(option[:2], option[2:].partition("=")[0])
        if not re.match("--?[A-Za-z]", option) or name in OURS:
            reason = "is set by vivavoce itself" if name in OURS else "is no option such as --exclude=node7"
            raise UserError(
                f"{option!r} among the Slurm options of {profile.address} {reason}; take it out of the profile."
            )
    asked = profile.slurm.model_dump(mode="json")
    cpus = asked.pop("cpus_per_gpu")
    return {**asked, "gpus": gpus, "nodes": nodes, "cpus": cpus and cpus * max(gpus, 1)}


def describe(launch: Launch, profile: Profile, slurm: dict[str, Any] | None = None, name: str = "job") -> str:
    """The job as a shell program that can be copied to the server: the commands, or the whole script of `sbatch`.

    Args:
        launch: The command.
        profile: The server.
        slurm: What :func:`slurm_request` gave.
        name: The job's name.
    """
    lines = [
        f"cd {_below_home(profile.workdir)}",
        f'export PATH={_below_home(launch.bin)}:"$PATH"',
        *(f"export {shlex.join([f'{key}={value}'])}" for key, value in launch.environment.items()),
        f"exec {shlex.join(launch.argv)}" if slurm else shlex.join(launch.argv),
    ]
    return batch(name, slurm, lines) if slurm else "\n".join(lines) + "\n"


def _processes(gpus: int, nodes: int) -> list[str]:
    # Several machines find each other at an address that only Slurm knows: the script of `sbatch` hands it to torchrun
    # as PET_RDZV_ENDPOINT and PET_RDZV_ID, which stand for its options of those names.
    where = ["--standalone"] if nodes == 1 else [f"--nnodes={nodes}", "--rdzv-backend=c10d"]
    return ["torchrun", *where, f"--nproc-per-node={max(gpus, 1)}"]


def _machines(profile: Profile, gpus: int, nodes: int) -> list[str]:
    """One torchrun on each machine; one that fails ends the others."""
    asked = slurm_request(profile, gpus, nodes) or {}
    argv = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    # Since Slurm 22.05, srun takes no number of CPUs from the job.
    argv += [f"--cpus-per-task={asked['cpus']}"] * bool(asked.get("cpus")) + [f"--gres=gpu:{gpus}"] * bool(gpus)
    return [*argv, "--cpu-bind=none", "--export=ALL"]


def _below_home(path: str) -> str:
    return shlex.quote(path) if path.startswith("/") else f'"$HOME"/{shlex.quote(path)}'
