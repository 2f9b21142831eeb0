"""`vivavoce server add`, `list` and `remove`: the servers that are known by a name."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out
from vivavoce.cli.server.environment import NameArgument, commit_here, show_rows
from vivavoce.errors import UserError
from vivavoce.server.kinds import EnvironmentKind, Launcher

if TYPE_CHECKING:
    from vivavoce.server.profile import Profile
    from vivavoce.server.rows import Row


def add(
    name: Annotated[str, typer.Argument(help="A name of your choice, such as lab.")],
    target: Annotated[str, typer.Argument(help="user@host, user@host:port, or an alias of ~/.ssh/config.")],
    workdir: Annotated[
        str, typer.Option(help="Folder where work lies on the server; absolute, or below the home folder.")
    ] = "vivavoce",
    env: Annotated[EnvironmentKind, typer.Option(help="What makes the Python environment.")] = EnvironmentKind.VENV,
    env_path: Annotated[
        str | None, typer.Option(help="Folder of the environment. Default: env in the work folder.")
    ] = None,
    packages: Annotated[
        str | None,
        typer.Option(help="Folder of downloads and temporary files, where the home folder has a quota."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="With venv an interpreter there; with uv or conda a version such as 3.12.")
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(help="An extra of the project to install, such as notebook; repeatable.")
    ] = None,
    pip_option: Annotated[
        list[str] | None, typer.Option(help="An option of pip install, such as --index-url=…; repeatable.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="LOCAL=REMOTE", help="A folder here and where it lies on the server; repeatable."),
    ] = None,
    launcher: Annotated[Launcher, typer.Option(help="What keeps jobs alive when the connection ends.")] = Launcher.AUTO,
    slurm: Annotated[bool, typer.Option("--slurm", help="Hand jobs to Slurm; any option below does the same.")] = False,
    partition: Annotated[str | None, typer.Option(help="Partition of Slurm.")] = None,
    account: Annotated[str | None, typer.Option(help="Account of Slurm.")] = None,
    qos: Annotated[str | None, typer.Option(help="Quality of service of Slurm.")] = None,
    time: Annotated[str | None, typer.Option(help="Time limit of Slurm, such as 1-12:00:00.")] = None,
    cpus_per_gpu: Annotated[int | None, typer.Option(help="Cores that a job gets for each GPU from Slurm.")] = None,
    slurm_option: Annotated[
        list[str] | None, typer.Option(help="One more option of sbatch, such as --exclude=node7; repeatable.")
    ] = None,
    accept_host_key: Annotated[
        bool, typer.Option("--accept-host-key", help="Take the host's key as it is now, if none is known yet.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Connect and check the server before it is kept.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a server of the same name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a server under a name, after connecting to it and checking what work needs there.

    Exit code: 0 kept, 1 kept although something is bad, 2 not kept.
    """
    from vivavoce.server.master import servers_file
    from vivavoce.server.profiles import load_profiles, save_profile
    from vivavoce.server.target import parse_target

    if name in load_profiles() and not replace:
        raise UserError(f"There is a server {name!r} already; add --replace, or choose another name.")
    if accept_host_key and not check:
        raise UserError("--accept-host-key takes the key while connecting, and --no-check does not; leave one out.")
    scheduler = {"partition": partition, "account": account, "qos": qos, "time": time, "cpus_per_gpu": cpus_per_gpu}
    used = slurm or slurm_option or any(value is not None for value in scheduler.values())
    profile = _profile(
        parse_target(target)._asdict()
        | {"workdir": workdir, "launcher": launcher, "data": _data(data or [])}
        | {"slurm": scheduler | {"options": slurm_option or []} if used else None},
        {"kind": env, "path": env_path, "packages": packages, "python": python}
        | {"extras": extra or [], "pip_options": pip_option or []},
    )
    rows = [row.to_dict() for row in _check(name, profile, accept_host_key)] if check else []
    save_profile(name, profile)
    kept = profile.model_dump(mode="json", exclude_none=True)
    result = {"server": name, "address": profile.address, "file": str(servers_file()), "profile": kept, "rows": rows}
    emit(result, as_json, _show_added)
    if any(row["status"] == "bad" for row in rows):
        raise typer.Exit(1)


def list_(as_json: JsonOption = False) -> None:
    """List the servers."""
    from vivavoce.server.profiles import load_profiles

    servers = [
        {"server": name, "address": profile.address, "environment_path": profile.environment_path}
        | profile.model_dump(mode="json", exclude_none=True)
        for name, profile in load_profiles().items()
    ]
    emit(servers, as_json, _show_list)


def remove(name: NameArgument, as_json: JsonOption = False) -> None:
    """Forget a server; what lies on it stays there."""
    from vivavoce.server.master import servers_file
    from vivavoce.server.profiles import remove_profile

    profile = remove_profile(name)
    result = {"server": name, "address": profile.address, "file": str(servers_file())}
    emit(
        result,
        as_json,
        lambda _: _line(f"{name} ({profile.address}) is forgotten; what lies there in {profile.workdir} stays."),
    )


def _profile(values: dict[str, Any], environment: dict[str, Any]) -> "Profile":
    """A profile of what was written on the command line."""
    from pydantic import ValidationError

    from vivavoce.server.environment import refuse_secrets
    from vivavoce.server.profile import Profile

    refuse_secrets(tuple(environment["pip_options"]))
    try:
        return Profile.model_validate(values | {"environment": environment})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        option = OPTIONS.get(place.removesuffix(".0"), place)
        raise UserError(f"{option} {first['input']!r}: {first['msg'].removeprefix('Value error, ')}.") from error


OPTIONS = {
    "workdir": "--workdir",
    "data": "--data",
    "environment.path": "--env-path",
    "environment.packages": "--packages",
    "environment.python": "--python",
    "environment.extras": "--extra",
    "environment.pip_options": "--pip-option",
    "slurm.cpus_per_gpu": "--cpus-per-gpu",
}


def _data(pairs: list[str]) -> dict[str, str]:
    places: dict[str, str] = {}
    for pair in pairs:
        local, sign, remote = pair.partition("=")
        if not (local and sign and remote):
            raise UserError(f"--data {pair!r} is no LOCAL=REMOTE, such as recordings=/data/ada/recordings.")
        places[local.rstrip("/")] = remote
    return places


def _check(name: str, profile: "Profile", accept_host_key: bool) -> "list[Row]":
    from vivavoce.server.checks import check
    from vivavoce.server.ssh import Connection

    err.print(f"Looking at {profile.address} …", style="dim", highlight=False, markup=False)
    return check(Connection(profile, accept_host_key=accept_host_key), name, commit_here())


def _line(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def _show_added(result: dict[str, Any]) -> None:
    if result["rows"]:
        show_rows(result)
    _line(f"{result['server']} is {result['address']}, kept in {result['file']}.")
    _line(f"Next: `vivavoce server setup {result['server']}` installs this project there.")


def _show_list(servers: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Column, Table

    if not servers:
        _line("There is no server yet; add one with `vivavoce server add NAME USER@HOST`.")
        return
    table = Table(Column("Server", no_wrap=True), "Address", "Work folder", "Environment", "Jobs by", box=SIMPLE)
    for server in servers:
        jobs = "Slurm" if "slurm" in server else server["launcher"]
        cells = (server["server"], server["address"], server["workdir"], server["environment_path"], jobs)
        table.add_row(*map(escape, cells))
    out.print(table, highlight=False)
