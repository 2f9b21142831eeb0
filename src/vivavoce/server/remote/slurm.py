"""Jobs of Slurm: the script of `sbatch`, what became of jobs, and their end."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import Any

from .answer import Refused

SCRIPT = "batch.sh"  # in the job's folder
TIMEOUT_S = 60
QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
# A job must stay one job here whose start we need not wait for, whatever a user asks of sbatch elsewhere.
HIDDEN = {"ARRAY_INX", "CLUSTERS", "ERROR", "GPUS", "GPUS_PER_NODE", "GPUS_PER_TASK", "REQUEUE", "WAIT"}
RUNNING = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}

# torchrun reads its options from PET_*; only here is it known which machines the job has.
MEET = """\
PET_RDZV_ENDPOINT="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$((10000 + SLURM_JOB_ID % 20000))"
PET_RDZV_ID="$SLURM_JOB_ID"
export PET_RDZV_ENDPOINT PET_RDZV_ID"""


def script(folder: str, job: dict[str, Any], slurm: dict[str, Any], python: str) -> str:
    """The script of a job: it becomes the supervisor, which lies in the job's folder."""
    line = "exec " + shlex.join([python, os.path.join(folder, "supervise.py")])
    # In the name of a log, %j and the like stand for other things, unless a backslash is in it.
    log = os.path.join(folder, "log")
    log = log.replace("\\", "\\\\") if "\\" in log else log.replace("%", "%%")
    return batch(job["id"], slurm, [line], log)


def batch(name: str, slurm: dict[str, Any], body: list[str], log: str = "log") -> str:
    """A script of `sbatch` with the lines of `body` in it; ``log`` is below where sbatch is started."""
    options = ["#SBATCH " + _quoted(option) for option in _options(name, slurm, log)]
    meet = [MEET] if slurm["nodes"] > 1 else []
    return "\n".join(["#!/bin/sh", *options, *meet, *body]) + "\n"


def _quoted(option: str) -> str:
    """An option as sbatch reads it in a script, which is not as a shell does: in quotes, a backslash keeps any sign."""
    return option if re.fullmatch(r"[\w@%+=:,./-]+", option) else '"%s"' % re.sub(r'(["\\])', r"\\\1", option)


def _options(name: str, slurm: dict[str, Any], log: str) -> list[str]:
    asked = {
        "job-name": "vivavoce-" + name,
        "output": log,
        "open-mode": "append",
        "export": "ALL",
        "nodes": slurm["nodes"],
        "ntasks-per-node": 1,
        "cpus-per-task": slurm["cpus"],
        "gres": "gpu:%d" % slurm["gpus"] if slurm["gpus"] else None,
        "partition": slurm["partition"],
        "account": slurm["account"],
        "qos": slurm["qos"],
        "time": slurm["time"],
    }
    # A job that began again by itself would write over the end of its first run.
    given = ["--%s=%s" % (key, value) for key, value in asked.items() if value is not None]
    return [*given, "--no-requeue", *slurm["options"]]


def submit(folder: str, job: dict[str, Any], slurm: dict[str, Any]) -> str:
    """Hand a job to Slurm and return its number there; what the job prints goes to `log` in its folder.

    Raises:
        Refused: there is no Slurm, or it did not take the job.
        OSError: the disk is full.
    """
    with open(os.path.join(folder, SCRIPT), "w", encoding="utf-8") as file:
        file.write(script(folder, job, slurm, sys.executable))
    # sbatch would let variables of the login override the script.
    ours = {option.lstrip("-").split("=")[0].upper().replace("-", "_") for option in _options(job["id"], slurm, "log")}
    hidden = ["SBATCH_" + name for name in ours | HIDDEN] + ["SBATCH_TIMELIMIT"] * bool(slurm["time"])
    ran = _run(["sbatch", "--parsable", SCRIPT], folder, hidden)
    number = ran.stdout.strip().split("\n")[-1].split(";")[0]
    if ran.returncode or not number.isdigit():
        raise Refused("Slurm did not take the job: %s." % _reason(ran))
    return number


def states(ids: list[str]) -> dict[str, dict[str, str]]:
    """What became of jobs, by number: `state` is queued, running, ended or unknown, `reason` is Slurm's word for why.

    A job that Slurm no longer knows has ended. All are unknown where Slurm does not answer.
    """
    if not ids:
        return {}
    try:
        ran = _run(["squeue", "--noheader", "--states=all", "--format=%A|%T|%r", "--jobs=" + ",".join(ids)])
    except Refused as error:
        return {one: {"state": "unknown", "reason": str(error)} for one in ids}
    if ran.returncode and "Invalid job id" not in ran.stderr:
        return {one: {"state": "unknown", "reason": _reason(ran)} for one in ids}
    found = _rows(ran.stdout)
    left = [one for one in ids if one not in found]
    if left:
        found.update(_accounted(left))
    return {one: found.get(one, {"state": "ended", "reason": ""}) for one in ids}


def cancel(number: str) -> None:
    """End a job, queued or running: SIGTERM now, SIGKILL after the cluster's time of grace (KillWait).

    Raises:
        Refused: Slurm does not answer, or does not allow it.
    """
    ran = _run(["scancel", number])
    if ran.returncode and not re.search("Invalid job id|already complet", ran.stderr):
        raise Refused("Slurm does not end job %s: %s." % (number, _reason(ran)))


def _accounted(ids: list[str]) -> dict[str, dict[str, str]]:
    """Jobs of long ago, with how they ended by Slurm's accounting; nothing where the cluster keeps none."""
    words = ["--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State", "--jobs=" + ",".join(ids)]
    try:
        ran = _run(["sacct", *words])
    except Refused:
        return {}
    return {number: {**row, "state": "ended"} for number, row in _rows(ran.stdout).items()}


def _rows(text: str) -> dict[str, dict[str, str]]:
    found = {}
    for line in text.splitlines():
        number, state, reason = (line.strip() + "||").split("|")[:3]
        word = state.split(" ")[0]  # sacct: CANCELLED by 1000
        kind = "queued" if word in QUEUED else "running" if word in RUNNING else "ended"
        found[number] = {"state": kind, "reason": word if kind == "ended" else reason}
    return found


def _run(argv: list[str], cwd: str | None = None, hidden: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    # Variables by which a user narrows what squeue and the others show, or makes them ask before they act.
    narrowed = ("SQUEUE_", "SACCT_", "SCANCEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(narrowed)}
    try:
        return subprocess.run(
            argv,
            cwd=cwd,
            env={name: value for name, value in kept.items() if name not in (hidden or [])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=TIMEOUT_S,
        )
    except OSError as error:
        raise Refused(
            "%s is not on the server's PATH (%s); is this the login node of a cluster with Slurm?"
            % (argv[0], error.strerror)
        ) from error
    except subprocess.TimeoutExpired as error:
        raise Refused("Slurm does not answer: %s took more than %d s." % (argv[0], TIMEOUT_S)) from error


def _reason(ran: subprocess.CompletedProcess[str]) -> str:
    """What a program of Slurm said last, without its name in front and a period at the end."""
    lines = [line.strip() for line in ran.stderr.splitlines() if line.strip()] or ["exit code %d" % ran.returncode]
    errors = [line for line in lines if "error:" in line] or lines
    return errors[-1].split("error: ")[-1].rstrip(".")
