"""`vivavoce server run`, `jobs`, `log` and `stop`."""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.cli.server.connecting import connect
from vivavoce.cli.server.jobs_shown import how, print_log, show_jobs, show_started, span, tell
from vivavoce.errors import UserError

if TYPE_CHECKING:
    from vivavoce.server.jobs import Devices
    from vivavoce.server.profile import Profile
    from vivavoce.server.ssh import Connection

NameArgument = Annotated[str, typer.Argument(help="The server, by the name of its profile.", show_default=False)]
JobArgument = Annotated[
    str | None, typer.Argument(help="The job's id, or a part of it that no other has.", show_default=False)
]
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = ("CUDA_VISIBLE_DEVICES", "VIVAVOCE_JOB")
UNKNOWN_END = 1  # the exit code of a followed job that left none


def run(
    name: NameArgument,
    words: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND…", help="A command of vivavoce, such as `-- train CONFIG --out RUN`."),
    ],
    gpus: Annotated[
        int | None, typer.Option(min=0, help="Free GPUs, on each machine. Default: 1, or none where there is none.")
    ] = None,
    gpu: Annotated[list[int] | None, typer.Option(min=0, help="Just this GPU, by its index; repeatable.")] = None,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; several need Slurm.")] = 1,
    share: Annotated[bool, typer.Option("--share", help="Take GPUs that somebody else uses, too.")] = False,
    program: Annotated[
        bool, typer.Option("--program", help="The words are a program of the environment, such as `-- python x.py`.")
    ] = False,
    job_name: Annotated[str | None, typer.Option("--name", help="Part of the job's id. Default: the command.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="KEY[=VALUE]", help="A variable, as here where no value is given; repeatable."),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="First push the files and folders among the words.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print what it prints, and end with its exit code.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the commands; nothing is contacted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a command on the server, detached: it goes on when the connection or this machine is gone."""
    if as_json and follow:
        raise UserError("--json prints one document and --follow a log; leave one of them out.")
    connection = connect(name)
    from vivavoce.server.jobs import start
    from vivavoce.server.launch import describe, launch, slurm_request

    profile = connection.profile
    devices = _devices(gpus, gpu, share, profile)
    launched = launch(profile, words, program=program, gpus=devices.count, nodes=nodes)
    launched = replace(launched, environment={**launched.environment, **_environment(env or [])})
    slurm = slurm_request(profile, devices.count, nodes)
    if dry_run:
        shell = describe(launched, profile, slurm, job_name or words[0])
        planned = {"server": name, "argv": launched.argv, "shell": shell, "slurm": slurm, "devices": vars(devices)}
        emit(planned, as_json, lambda _: typer.echo(shell, nl=False))
        return
    differ = _bring_words(connection, profile, name, words, push)
    job = start(connection, profile, launched, words=words, name=job_name, devices=devices, slurm=slurm)
    emit({"server": name, **job.to_dict(), "differ": differ}, as_json, lambda _: show_started(name, job))
    if job.note:
        tell(job.note)
    if follow:
        _follow(connection, name, job.id, None)


def jobs(
    name: NameArgument,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="JOB", help="Delete the log and record of an ended job; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the jobs of the work folder: what runs, since when and on which GPU, and how the others ended."""
    connection = connect(name)
    from vivavoce.server.jobs import list_jobs, remove_job

    profile = connection.profile
    removed = [remove_job(connection, profile, key).id for key in remove or []]
    found = list_jobs(connection, profile)
    result = {"server": name, "jobs": [job.to_dict() for job in found], "removed": removed}
    emit(result, as_json, lambda _: show_jobs(found, removed))


def log(
    name: NameArgument,
    job: JobArgument = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends, and end with its exit code.")
    ] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=0, help="Only so many last lines.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a job has printed, by default the newest."""
    if as_json and follow:
        raise UserError("--json prints one document and --follow a log; leave one of them out.")
    connection = connect(name)
    from vivavoce.server.jobs import find_job, read_log

    profile = connection.profile
    if follow:
        _follow(connection, name, job, lines)
    elif as_json:
        found = find_job(connection, profile, job)
        text = read_log(connection, profile, found.id, lines).decode(errors="replace")
        emit({"server": name, "job": found.to_dict(), "log": text}, True, lambda _: None)
    else:
        print_log([read_log(connection, profile, job, lines)])


def stop(
    name: NameArgument,
    job: JobArgument = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds between asking it to end (SIGTERM) and killing it.")
    ] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Stop a job with all its processes, and nothing else; by default the only one that runs."""
    connection = connect(name)
    from vivavoce.server.jobs import stop_job

    ended, stopped = stop_job(connection, connection.profile, job, grace)
    text = f"Job {ended.id} is stopped." if stopped else f"Job {ended.id} had ended already: {how(ended)}."
    result = {"server": name, "stopped": stopped, "job": ended.to_dict()}
    emit(result, as_json, lambda _: out.print(text, highlight=False, markup=False, soft_wrap=True))


# --- before the start ---------------------------------------------------------------------------------------------


def _devices(gpus: int | None, wanted: list[int] | None, share: bool, profile: "Profile") -> "Devices":
    from vivavoce.server.jobs import Devices

    if wanted and gpus not in (None, len(wanted)):
        raise UserError(f"--gpus {gpus} and {len(wanted)} of --gpu do not agree; leave one of them out.")
    if profile.slurm is not None and (wanted or share):
        raise UserError("Slurm gives out the GPUs itself; leave out --gpu and --share.")
    count = len(wanted) if wanted else 1 if gpus is None else gpus
    if share and not count:
        raise UserError("--share is about GPUs, and --gpus 0 asks for none; leave one of them out.")
    return Devices(count, tuple(wanted or ()), share, required=bool(wanted) or gpus is not None)


def _environment(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not VARIABLE.fullmatch(key):
            raise UserError(f"--env {text} is no variable; write KEY=VALUE, or KEY for the value it has here.")
        if key in OURS:
            raise UserError(f"--env {key} is set by vivavoce itself; choose GPUs with --gpus or --gpu.")
        if not equals and key not in os.environ:
            raise UserError(f"--env {key}: there is no such variable here; write {key}=VALUE.")
        found[key] = value if equals else os.environ[key]
    return found


def _bring_words(
    connection: "Connection", profile: "Profile", name: str, words: Sequence[str], push: bool
) -> list[str]:
    """See that the files among the words are on the server; returns those that are not as they are here."""
    from vivavoce.server.words import compare_words, local_paths

    paths = local_paths(words)
    if push and paths:
        _push(connection, paths)
    found = compare_words(connection, profile, paths)
    if found.missing:
        missing = shlex.join(found.missing)
        hint = f"vivavoce server push {name} {missing}"
        raise UserError(
            f"{missing} is here and not in the work folder on {name}; bring it there with `{hint}`, or start with "
            "--push."
        )
    for path in found.differ:
        tell(f"{path} on {name} is not as it is here, and the job takes the one there; --push brings this one.")
    return list(found.differ)


def _push(connection: "Connection", paths: Sequence[str]) -> None:
    from vivavoce.server.transfer.moving import Options, push

    push(connection, paths, Options())


def _follow(connection: "Connection", name: str, key: str | None, lines: int | None) -> None:
    """Print a job's log until it ends, and exit with its code; Ctrl-C leaves it running."""
    from vivavoce.server.jobs import follow

    again = shlex.join(["vivavoce", "server", "log", name, *([key] if key else []), "--follow"])
    try:
        ended = print_log(follow(connection, connection.profile, key, lines=lines, tell=tell))
    except KeyboardInterrupt:
        tell(f"The job goes on; `{again}` follows it again.")
        return
    if ended is not None:
        job = ended.job
        tell(f"Job {job.id}: {how(job)}, after {span(job.seconds) or 'an unknown time'}.")
        raise typer.Exit(UNKNOWN_END if job.code is None else job.code)
