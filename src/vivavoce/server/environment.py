"""Setting up the Python environment of a profile, from nothing or from whatever an earlier setup left."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from vivavoce.errors import UserError
from vivavoce.server.profile import Profile
from vivavoce.server.source import Source, upload
from vivavoce.server.ssh import Connection

# What installers print when they fail, and what to do about it; the first that fits counts.
_MENDS = (
    (
        r"No space left on device|[Dd]isk quota exceeded",
        "the disk or your quota is full; put the environment and the downloads where there is room, "
        "with --env-path and --packages",
    ),
    (
        r"ensurepip is not available|No module named '?ensurepip",
        "this Python cannot make a venv; ask for the package python3-venv, or use --env uv or --env conda",
    ),
    (
        r"requires a different Python|requires Python|Requires-Python|Python>=?\d\S* .*(unsatisfiable|not satisf)",
        "its Python is too old or too new for a package; choose one with --python and make the environment anew with "
        "--again",
    ),
    (
        r"DO NOT MATCH THE HASHES|[Hh]ash mismatch",
        "a download is not what the index says; try again, and ask who runs the mirror if it stays so",
    ),
    (
        r"Temporary failure in name resolution|Name or service not known|Network is unreachable|NewConnectionError|"
        r"ConnectTimeout|Connection refused|No route to host|CondaHTTPError|[Dd]ns error|error sending request",
        "the server does not reach the package index; name a mirror with --pip-option=--index-url=ADDRESS, or set "
        "https_proxy in the login script there",
    ),
    (
        r"No matching distribution found for|No solution found|has no wheels|not found in the package registry",
        "the index has no package that fits this machine and Python; name another index with --pip-option, or "
        "another --python",
    ),
    (r"Permission denied", "you may not write there; choose another place with --env-path and --packages"),
)


@dataclass(frozen=True)
class Step:
    """One step of a setup.

    Attributes:
        what: What it does, in words.
        shell: The command line that does the same; empty where there is none.
    """

    what: str
    shell: str


@dataclass(frozen=True)
class Setup:
    """What a setup did, or would do.

    Attributes:
        path: The environment's folder on the server.
        commit: The commit that it has now.
        steps: The steps, in order; none where nothing was to do.
        python: The Python in it; empty where nothing was done.
        left_out: Files here whose changes are not part of the commit.
    """

    path: str
    commit: str
    steps: list[Step]
    python: str
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return asdict(self)


def setup(
    connection: Connection,
    source: Source,
    *,
    again: bool = False,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Setup:
    """Make the environment of the connection's profile and install the code, as far as that is not done yet.

    Args:
        connection: Leads to the server.
        source: What is installed.
        again: Remove an environment that an earlier setup made, and begin anew.
        dry_run: Only tell the steps.
        say: Called with each step and each line of the installers.

    Raises:
        UserError: somebody else sets the same environment up, a tool is missing, or a step failed; the next setup
            takes it up there.
        ConnectionLost: the connection ended; what ran there is ended, too.
    """
    profile = connection.profile
    refuse_secrets(profile.environment.pip_options)
    request = _request(profile, source, again)
    plan = connection.python("environment", {**request, "do": "plan"})
    steps = [Step(step["step"], step["shell"]) for step in plan["steps"]]
    path = profile.environment_path
    if dry_run or not steps:
        return Setup(path, source.commit, steps, "", source.left_out)
    if not plan["code_there"]:
        say(f"send the code at {source.commit[:12]}")
        upload(connection, source, request["code"])
    python = _follow(connection, request, say)
    return Setup(path, source.commit, steps, python, source.left_out)


def refuse_secrets(options: tuple[str, ...]) -> None:
    """Refuse a password in the address of a package index, which the list of processes would show to everybody.

    Raises:
        UserError: an option holds one.
    """
    for option in options:
        if re.search(r"://[^/@\s]*:[^/@\s]+@", option):
            shown = re.sub(r"://[^/@\s]*@", "://…@", option)
            raise UserError(
                f"{shown} holds a password, which would be stored and shown in the list of processes; put it into "
                "~/.netrc on the server and leave it out of the address."
            )


def _request(profile: Profile, source: Source, again: bool) -> dict[str, Any]:
    environment = profile.environment
    return {
        "workdir": profile.workdir,
        "state": profile.state,
        "path": profile.environment_path,
        "kind": environment.kind.value,
        "python": environment.python,
        "packages": environment.packages,
        "options": list(environment.pip_options),
        "extras": sorted(set(environment.extras)),
        "data": profile.data,
        "commit": source.commit,
        "dependencies": source.dependencies,
        "least": list(source.least_python),
        "code": f"{profile.state}/source/{source.commit}",
        "again": again,
    }


def _follow(connection: Connection, request: dict[str, Any], say: Callable[[str], None]) -> str:
    """Do the steps on the server; returns the version of the environment's Python."""
    ended: dict[str, Any] = {}
    for said in connection.stream("environment", {**request, "do": "setup"}):
        if "ended" in said:
            ended = said["ended"]
        else:
            say(said.get("line", said.get("step", "")))
    if "failed" in ended:
        raise _failure(connection.profile, ended["step"], ended["failed"])
    return ended["python"]


def _failure(profile: Profile, step: str, failed: dict[str, Any]) -> UserError:
    """Why a step failed, by the last lines of its program."""
    lines = [line.strip() for line in failed["lines"] if line.strip()]
    text = "\n".join(lines)
    errors = [line for line in lines if re.search(r"\berror\b|ERROR|Error:", line)]
    last = ([*lines[-1:], *errors[-1:]] or [f"exit code {failed['code']}"])[-1].rstrip(".")
    for pattern, mend in _MENDS:
        found = re.search(pattern, text)
        if found:
            line = next(line for line in reversed(lines) if re.search(pattern, line)).rstrip(".")
            return UserError(f"{profile.address} could not {step}: {mend} ({line}).")
    return UserError(f"{profile.address} could not {step} ({last}); the lines above have more.")
