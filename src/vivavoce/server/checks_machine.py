"""Checks of the machine: its system, Python, disks, tools, and what keeps jobs alive."""

import re
from collections.abc import Iterator

from vivavoce.server.kinds import EnvironmentKind, Launcher
from vivavoce.server.probe import Disk, Facts, version_of
from vivavoce.server.profile import Profile
from vivavoce.server.rows import Row, Status

LEAST_PYTHON = (3, 11)  # as pyproject.toml has it
GB = 1e9
# An environment with torch for CUDA takes about 7 GB, and its downloads pass through the same disk.
ENVIRONMENT_BAD_GB, ENVIRONMENT_WARN_GB = 8.0, 20.0
FOLDER_BAD_GB, FOLDER_WARN_GB = 1.0, 5.0
FEW_FILES = 60_000  # an environment has about 40,000


def system(facts: Facts) -> Row:
    """Operating system, processor and memory."""
    memory = facts.get("memory_kib")
    parts = [facts.get("os") or facts.get("kernel"), facts.get("arch"), f"{facts.get('cores') or '?'} cores"]
    found = ", ".join([*parts, *([f"{int(memory) * 1024 / GB:.0f} GB of memory"] if memory else [])])
    if facts.get("kernel") != "Linux":
        return Row("system", Status.WARN, found, "jobs are made for Linux; choose a Linux server for training")
    return Row("system", Status.OK, found)


def python(profile: Profile, facts: Facts) -> Iterator[Row]:
    """What the environment is, or will be, made with."""
    kind, least = profile.environment.kind, ".".join(map(str, LEAST_PYTHON))
    if facts.get("env_python"):
        good = version_of(facts.get("env_python")) >= LEAST_PYTHON
        status = Status.OK if good else Status.BAD
        mend = "" if good else f"vivavoce needs {least}; choose another --python or --env-path, and set it up anew"
        yield Row("Python", status, f"{facts.get('env_python')} in the environment", mend)
    elif kind is EnvironmentKind.VENV:
        wanted = profile.environment.python
        found = [(version, place) for version, place in facts.pythons if wanted in (None, place)]
        best = max(found, default=((), ""))
        text = f"{'.'.join(map(str, best[0]))} ({best[1]})" if found else wanted or "none"
        good = best[0] >= LEAST_PYTHON
        mend = f"vivavoce needs {least} or newer: name one with --python, or use --env uv or --env conda"
        yield Row("Python", Status.OK if good else Status.BAD, text, "" if good else mend)
    if kind is not EnvironmentKind.VENV:
        tool = facts.get(kind.value)
        needed = Status.WARN if facts.get("env_python") else Status.BAD
        mends = {
            EnvironmentKind.UV: "put uv there (https://docs.astral.sh/uv, one file, no rights needed), or use another "
            "--env",
            EnvironmentKind.CONDA: "install Miniforge in the home folder (https://conda-forge.org/download), load the "
            "server's conda module in the login script, or use --env venv or uv",
        }
        yield Row(kind.value, Status.OK if tool else needed, tool or "not found", "" if tool else mends[kind])


def disk(what: str, disk: Disk, facts: Facts) -> Row:
    """Room for what lies in a folder; an environment that is not made yet needs most."""
    making = what == "environment" and not facts.get("environment")
    bad, warn = (ENVIRONMENT_BAD_GB, ENVIRONMENT_WARN_GB) if making else (FOLDER_BAD_GB, FOLDER_WARN_GB)
    name, place = f"disk: {what}", "home folder" if disk.folder == "." else disk.folder
    if disk.free_bytes is None:
        return Row(name, Status.WARN, f"{place}: free space unknown", "see `df` there")
    files = "" if disk.free_files is None or disk.free_files > FEW_FILES else f", room for {disk.free_files:,} files"
    found = f"{place}: {disk.free_bytes / GB:.1f} GB free{' by your quota' * disk.by_quota}{files}"
    options = {"work": "--workdir", "environment": "--env-path", "downloads": "--packages"}
    other = f"choose another place with {options.get(what, '--data')}"
    if not disk.writable:
        return Row(name, Status.BAD, f"{place}: you may not write there", other)
    if disk.free_bytes < bad * GB:
        return Row(name, Status.BAD, found, f"{bad:g} GB are needed: make room, or {other}")
    if disk.free_bytes < warn * GB or files:
        return Row(name, Status.WARN, found, f"this may not last: make room, or {other}")
    return Row(name, Status.OK, found)


def tools(facts: Facts) -> Iterator[Row]:
    """The programs that move and unpack files, and the folder of temporary ones."""
    version = re.search(r"version (\S+)", facts.get("rsync"))
    if facts.get("rsync"):
        yield Row("rsync", Status.OK, version[1] if version else facts.get("rsync"))
    else:
        yield Row("rsync", Status.WARN, "not found; files go by sftp, which is slower", "ask for rsync to be installed")
    if not facts.get("tar"):
        yield Row("tar", Status.BAD, "not found; setup cannot unpack the code", "ask for tar to be installed")
    if facts.get("tmp") != "ok":
        found = "programs may not run there" if facts.get("tmp") == "noexec" else "it cannot be written"
        mend = "give --packages a folder of yours; temporary files of setup then lie beside it"
        yield Row("temporary files", Status.WARN, f"{facts.get('tmpdir')}: {found}", mend)


def launcher(profile: Profile, facts: Facts) -> Row:
    """What will keep jobs alive; see `remote/jobs.py` for the order of `auto`."""
    lingers = facts.get("linger") == "Linger=yes" and facts.get("user_manager") in ("running", "degraded", "starting")
    there = {Launcher.SYSTEMD: lingers, Launcher.TMUX: bool(facts.get("tmux")), Launcher.NOHUP: True}
    if profile.launcher is Launcher.AUTO:
        chosen = next(launcher for launcher, usable in there.items() if usable)
        return Row("launcher", Status.OK, f"{chosen} (chosen by itself)")
    if there[profile.launcher]:
        return Row("launcher", Status.OK, profile.launcher.value)
    mends = {
        Launcher.SYSTEMD: "let your programs outlive the login with `loginctl enable-linger`, or use --launcher tmux",
        Launcher.TMUX: "ask for tmux to be installed, or use --launcher nohup",
    }
    return Row("launcher", Status.BAD, f"{profile.launcher} cannot be used", mends[profile.launcher])


def slurm(profile: Profile, facts: Facts) -> Iterator[Row]:
    """Whether the cluster answers and has the partition; a word where it is there and not used."""
    if profile.slurm is None:
        if facts.get("partition"):
            yield Row("Slurm", Status.WARN, f"{facts.get('sbatch')}, not used by this profile", "add --slurm")
        return
    partitions = facts.lines.get("partition", [])
    if not facts.get("sbatch"):
        yield Row("Slurm", Status.BAD, "sbatch not found", "add the login node of the cluster, or leave out --slurm")
    elif not partitions:
        yield Row("Slurm", Status.BAD, "sinfo names no partition", "ask who runs the cluster whether it is up")
    elif profile.slurm.partition and profile.slurm.partition not in partitions:
        found = f"no partition {profile.slurm.partition}"
        yield Row("Slurm", Status.BAD, found, f"use --partition with one of {', '.join(partitions)}")
    else:
        yield Row("Slurm", Status.OK, f"{facts.get('sbatch')}, partitions {', '.join(partitions)}")
