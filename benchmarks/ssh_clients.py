"""Why the OpenSSH client with a shared connection: what a command on a server costs by each way to reach it.

    python benchmarks/ssh_clients.py [--rounds 5] [--later 20] [--round-trip-ms 20]

A real sshd on a loopback port, once as it is and once behind a relay that delays every byte as a network does. Each
client runs the same shell program: first with no connection, then again over what that left, then as the next process
would, which finds a shared connection but no library's object; `vivavoce server` is such a process for each of its
commands. Clients take turns; figures are medians over the rounds. Starting Python and importing are not counted.

Then each client is asked for what a user's SSH config and known hosts hold, the libraries by their own readers of both.
Needs sshd; paramiko and asyncssh are left out where they are not installed. Prints the tables and writes
benchmarks/results/ssh_clients.json.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table
from tests.server.sshd import Sshd, free_port, why_not

from ssh_ways import ANSWER, OURS, Way, versions, ways
from vivavoce.files import write_json

LOGIN = "Accepted publickey"  # how sshd notes one in its log
PARTS = ("first", "later", "next process")


class Place(NamedTuple):
    """Two servers, `lab` and one behind it; `far` is lab behind the relay."""

    lab: Sshd
    behind: Sshd

    @property
    def config(self) -> Path:
        """The user's SSH config, which names them all."""
        return self.lab.folder / "ssh_config"

    @property
    def logins(self) -> tuple[int, int]:
        """How many there were on each server."""
        return self.lab.log.count(LOGIN), self.behind.log.count(LOGIN)


@contextlib.contextmanager
def servers(folder: Path, delay_s: float) -> Iterator[Place]:
    lab, behind = Sshd(folder / "lab"), Sshd(folder / "behind")
    with contextlib.ExitStack() as ends:
        for server in (lab, behind):
            ends.callback(server.end_jobs)
            server.start()
            ends.callback(server.stop)
        port = ends.enter_context(relay(lab.port, delay_s))
        (behind.folder / "authorized_keys").write_text((lab.folder / "authorized_keys").read_text())
        known = lab.known_hosts.read_text()
        far = known.replace(f":{lab.port} ", f":{port} ")
        lab.known_hosts.write_text(known + far + behind.known_hosts.read_text())
        host = f"  HostName 127.0.0.1\n  User {lab.user}\n  Port"
        place = Place(lab, behind)
        place.config.write_text(
            f"Host far\n{host} {port}\nHost inner\n{host} {behind.port}\n  ProxyJump lab\n"
            f'Match originalhost here exec "test -d {lab.home}"\n{host} {lab.port}\n{place.config.read_text()}'
        )
        os.environ["PATH"] = f"{lab.client_path()}{os.pathsep}{os.environ['PATH']}"
        os.environ["XDG_RUNTIME_DIR"] = lab.sockets
        yield place


@contextlib.contextmanager
def relay(port: int, delay_s: float) -> Iterator[int]:
    """A loopback port that leads to another one and delays every byte, each way, as a network does."""

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                loop.call_later(delay_s, writer.write, data)
        loop.call_later(delay_s, writer.close)

    loop, own = asyncio.new_event_loop(), free_port()
    loop.run_until_complete(asyncio.start_server(lead, "127.0.0.1", own))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield own
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def one_round(way: Way, config: Path, host: str, later: int) -> tuple[float, ...]:
    """Seconds of the first command, of a later one (median), and of one of the next process."""
    took = []

    def ends(began: float, answer: str) -> None:
        took.append(time.perf_counter() - began)
        if answer != ANSWER:
            raise AssertionError(f"{way.__name__} gave another answer: {answer!r}")

    began = time.perf_counter()
    with way(config, host) as run:
        ends(began, run())
        for _ in range(later):
            ends(time.perf_counter(), run())
        began = time.perf_counter()
        with way(config, host) as run_next:
            ends(began, run_next())
    return took[0], median(took[1:-1]), took[-1]


def time_all(config: Path, host: str, rounds: int, later: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each part, by client."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways()}
    for number in range(rounds + 1):
        for name, way in ways().items():
            took = one_round(way, config, host, later)
            if number:  # the first round imports and warms up
                found[name].append(took)
    medians = {name: [median(part) for part in zip(*rows, strict=True)] for name, rows in found.items()}
    return {
        name: {part: round(1000 * seconds, 1) for part, seconds in zip(PARTS, row, strict=True)}
        for name, row in medians.items()
    }


def ratios(ms: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times as long as ours each other client takes."""
    return {
        name: {part: round(took / ms[OURS][part], 2) for part, took in parts.items()}
        for name, parts in ms.items()
        if name != OURS
    }


def failure(way: Way, config: Path, host: str) -> str:
    """Why a client does not reach a host, in one line; empty where it does."""
    try:
        with way(config, host) as run:
            return "" if run() == ANSWER else "another answer"
    except Exception as error:  # a library may raise anything
        return f"{type(error).__name__}: {error}".splitlines()[0]


def reaches(way: Way, place: Place, host: str, logins: tuple[int, int] = (1, 0)) -> str:
    """`yes` where a client reaches a host by a login on each server that leads there, or else what went wrong."""
    before = place.logins
    failed = failure(way, place.config, host)
    gained = tuple(new - old for new, old in zip(place.logins, before, strict=True))
    return failed or ("yes" if gained == logins else "no: the jump host was left out")


def refuses(way: Way, place: Place) -> str:
    """`yes` where a client breaks off before it logs in."""
    before = place.logins
    return "yes" if failure(way, place.config, "lab") and place.logins == before else "no: it logged in"


def features(place: Place) -> dict[str, dict[str, str]]:
    """What each client makes of a user's config and known hosts: feature, client, `yes` or what happens instead."""
    known_hosts = place.lab.known_hosts
    found = {
        feature: {name: reaches(way, place, *words) for name, way in ways().items()}
        for feature, *words in (
            ("alias of the config", "lab"),
            ("ProxyJump", "inner", (1, 1)),
            ("Match exec", "here"),
        )
    }
    known = known_hosts.read_text()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)
    if not all(line.startswith("|1|") for line in known_hosts.read_text().splitlines()):
        raise AssertionError("the known hosts are not hashed")
    found["hashed known hosts"] = {name: reaches(way, place, "lab") for name, way in ways().items()}
    known_hosts.write_text("")
    found["unknown host key refused"] = {name: refuses(way, place) for name, way in ways().items()}
    known_hosts.write_text(known)
    place.lab.new_host_key()
    found["changed host key refused"] = {name: refuses(way, place) for name, way in ways().items()}
    return found


def show(found: dict[str, Any]) -> None:
    console = Console(width=100)
    for link, times in found["ms"].items():
        table = Table("client", *PARTS, title=f"A command, {link}: milliseconds (times ours)")
        for name, parts in times.items():
            more = found["times ours"][link].get(name)
            table.add_row(name, *(f"{ms:.1f}" + (f" ({more[part]:g})" if more else "") for part, ms in parts.items()))
        console.print(table)
    table = Table("feature", *ways(), title="What a user's config and known hosts hold")
    for feature, by_client in found["features"].items():
        table.add_row(feature, *by_client.values())
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--later", type=int, default=20)
    parser.add_argument("--round-trip-ms", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ssh_clients.json")
    options = parser.parse_args()
    if why_not():
        raise SystemExit(why_not())
    links = {"loopback": "lab", f"round trip of {options.round_trip_ms:g} ms": "far"}
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder), options.round_trip_ms / 2000) as place:
        ms = {link: time_all(place.config, host, options.rounds, options.later) for link, host in links.items()}
        found = {
            "rounds": options.rounds,
            "later": options.later,
            "ms": ms,
            "times ours": {link: ratios(times) for link, times in ms.items()},
            "features": features(place),
        }
        show(found)
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        write_json(options.out, {"machine": machine, "versions": versions(), **found})


if __name__ == "__main__":
    main()
