"""What stands between a profile and a training run on its server: one row for each thing, with its mend."""

import re
import subprocess

from vivavoce.server import checks_environment as programs
from vivavoce.server import checks_machine as machine
from vivavoce.server import faults
from vivavoce.server.probe import Clock, clock, folders_of, probe
from vivavoce.server.rows import Row, Status
from vivavoce.server.ssh import Connection

CLOCK_WARN_S, CLOCK_BAD_S = 2.0, 60.0
LOGIN_TIMEOUT_S = 30.0


def check(connection: Connection, name: str, commit: str | None = None) -> list[Row]:
    """Check a server for all that setup, jobs and files need of it.

    Args:
        connection: Leads to the server.
        name: The profile's name, for the commands in the mends.
        commit: The commit that is in use here; None: unknown, and not compared.

    Raises:
        UserError: no connection came about, so that nothing else can be told.
    """
    connection.open()
    profile = connection.profile
    time = clock(connection)
    facts = probe(connection, list(folders_of(profile).values()))
    rows = [
        Row("connection", Status.OK, f"{profile.address}, {time.round_trip_s * 1e3:.0f} ms there and back"),
        _host_key(connection),
        _login(connection),
        machine.system(facts),
        *machine.python(profile, facts),
        *(machine.disk(what, one, facts) for what, one in zip(folders_of(profile), facts.disks, strict=True)),
        *machine.tools(facts),
        machine.launcher(profile, facts),
        *machine.slurm(profile, facts),
        programs.driver(profile, facts, name),
        *programs.environment(facts, name, commit),
        clock_row(time),
    ]
    return rows


def _host_key(connection: Connection) -> Row:
    """Whether ssh compares the host's key with the one it knows, by the config that it uses for this host."""
    said = _ssh(connection, [], ["-G", connection.destination]).stdout
    config = {key: value for key, _, value in (line.partition(" ") for line in said.splitlines())}
    mend = "remove what switches it off for this host (StrictHostKeyChecking, UserKnownHostsFile) from ~/.ssh/config"
    if config.get("stricthostkeychecking", "").lower() in ("false", "no", "off"):
        return Row("host key", Status.WARN, "not checked: StrictHostKeyChecking is off", mend)
    if config.get("userknownhostsfile") == "/dev/null":
        return Row("host key", Status.WARN, "never known: UserKnownHostsFile is /dev/null", mend)
    return Row("host key", Status.OK, "checked by ssh")


def _login(connection: Connection) -> Row:
    """Whether a new connection comes about without a person at the terminal."""
    alone = ["-o", "ControlPath=none", "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o", "LogLevel=VERBOSE"]
    ran = _ssh(connection, alone, ["-T", connection.destination, "exit 0"])
    method = re.search(r'using "([^"]+)"', ran.stderr)
    if ran.returncode == 0:
        return Row("login", Status.OK, f"without a question ({method[1] if method else 'by key'})")
    return Row(
        "login",
        Status.WARN,
        "by a password, or by a key whose passphrase is asked for",
        "put your key there with `ssh-copy-id` and load it with `ssh-add`, so that jobs and tunnels can reconnect",
    )


def _ssh(connection: Connection, first: list[str], last: list[str]) -> subprocess.CompletedProcess[str]:
    # The first value of an option holds, so ours come before those of the shared connection.
    program, *options = connection.ssh()
    command = [program, *first, *options, *last]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOGIN_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise faults.missing("ssh") from error
    except subprocess.TimeoutExpired as error:
        raise faults.lost(connection.profile, f"no answer within {LOGIN_TIMEOUT_S:g} s") from error


def clock_row(time: Clock) -> Row:
    """Whether the clocks agree; a difference within the error of the measurement counts as none."""
    error = time.round_trip_s / 2
    found = f"{abs(time.ahead_s):.1f} s {'ahead' if time.ahead_s > 0 else 'behind'}, ± {error:.1f} s"
    off = max(0.0, abs(time.ahead_s) - error)
    if off > CLOCK_BAD_S:
        return Row("clock", Status.BAD, found, "files would seem newer or older than they are: have NTP switched on")
    if off > CLOCK_WARN_S:
        return Row("clock", Status.WARN, found, "compare times with care, or have NTP switched on there or here")
    return Row("clock", Status.OK, found)
