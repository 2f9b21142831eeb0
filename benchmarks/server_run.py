"""How soon `vivavoce server run` gives the prompt back.

    python benchmarks/server_run.py [--rounds 11]

A real sshd on a loopback port, whose account has this vivavoce and a recorded nvidia-smi with two idle GPUs. Timed are
whole commands, from the shell's point of view: `vivavoce server run lab -- train CONFIG --out RUN`, once with no
connection and once over the one that the command before left. Each compares the config on both sides, starts the job,
reserves a GPU for it and waits until the program runs; the job is stopped before the next is timed. Beside it what
cannot be saved: `vivavoce --version`, and a bare `ssh lab true` with its login.

Needs sshd. Prints the table and writes benchmarks/results/server_run.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table
from tests.server import nvidia_smi
from tests.server.sshd import Sshd, why_not

from vivavoce.files import write_json
from vivavoce.server.profile import Profile
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection

ASKED_S = 2.0
PROGRAM = Path(sys.executable).with_name("vivavoce")
COLD, WARM = "server run, no connection yet", "server run, over the last one"
FLOORS = ("vivavoce --version", "ssh lab true, with its login")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "server_run.json")
    options = parser.parse_args()
    if why_not():
        sys.exit(why_not())
    with tempfile.TemporaryDirectory() as folder:
        server = Sshd(Path(folder, "server"))
        server.start()
        try:
            found = measure(server, Path(folder), options.rounds)
        finally:
            server.stop()
            server.end_jobs()
    show(found)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    write_json(options.out, {"machine": machine, "asked_s": ASKED_S, **found})


def measure(server: Sshd, folder: Path, rounds: int) -> dict[str, Any]:
    nvidia_smi.install(server, "idle")
    os.environ["PATH"] = f"{server.client_path()}{os.pathsep}{os.environ['PATH']}"
    os.environ |= {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_RUNTIME_DIR": server.sockets}
    profile = Profile(host="127.0.0.1", port=server.port, user=server.user, workdir="work")
    save_profile("lab", profile)
    programs = server.home / "work" / "env" / "bin"
    programs.mkdir(parents=True)
    (programs / "vivavoce").symlink_to(PROGRAM)
    here = folder / "here"
    for place in (here, server.home / "work"):
        place.mkdir(exist_ok=True)
        (place / "train.yaml").write_text("data: {train: train.jsonl.gz, validation: validation.jsonl.gz}\n")
    os.chdir(here)
    connection = Connection(profile, ask=False)
    seconds: dict[str, list[float]] = {name: [] for name in (COLD, WARM, *FLOORS)}
    launchers = set()
    for number in range(rounds):
        connection.close()
        for name in (COLD, WARM):
            launchers.add(one_run(seconds[name], f"runs/{number}"))
        timed(seconds[FLOORS[0]], [str(PROGRAM), "--version"])
        timed(seconds[FLOORS[1]], ["ssh", "-o", "ControlPath=none", "lab", "true"])
    connection.close()
    return {"rounds": rounds, "launcher": launchers.pop(), "seconds": {name: spread(s) for name, s in seconds.items()}}


def one_run(times: list[float], run: str) -> str:
    """Time one start, and stop the job; returns the launcher's name."""
    words = ["server", "run", "lab", "--gpus", "1", "--json", "--", "train", "train.yaml", "--out", run]
    job = json.loads(timed(times, [str(PROGRAM), *words]))
    subprocess.run([str(PROGRAM), "server", "stop", "lab", job["id"]], check=True, stdout=subprocess.DEVNULL)
    return job["launcher"]


def timed(times: list[float], command: list[str]) -> str:
    began = time.perf_counter()
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    times.append(time.perf_counter() - began)
    return ran.stdout


def spread(times: list[float]) -> dict[str, float]:
    return {"median": round(median(times), 3), "least": round(min(times), 3), "most": round(max(times), 3)}


def show(found: dict[str, Any]) -> None:
    table = Table("command", "median s", "least", "most", title=f"{found['rounds']} rounds, by {found['launcher']}")
    for name, figures in found["seconds"].items():
        table.add_row(name, *(f"{value:.2f}" for value in figures.values()))
    table.add_section()
    table.add_row("asked of both first ones", f"{ASKED_S:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
