"""Ten thousand small files to a server: `vivavoce server push` beside plain `rsync -a`.

    python benchmarks/push_speed.py [--files 10000] [--bytes 4096 65536] [--rounds 7] [--folder /dev/shm]

A real sshd on a loopback port; each round times both whole commands, one after the other and in turns first, with no
connection open before and nothing of the files there. Ours lists both sides, checks the room, sends, and compares what
arrived with what was sent. All lies in memory where that can be: ext4 makes new files slowly for minutes after many
were removed, which hides what the two commands differ in. Prints the ratio of speeds and writes
benchmarks/results/push_speed.json.
"""

import argparse
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vivavoce.files import write_json
from vivavoce.server.profile import Profile
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.server.sshd import Sshd

ASKED = 0.8  # of plain rsync's speed
MEMORY = Path("/dev/shm")
IN_A_FOLDER = 100
WAYS = ("vivavoce server push", "rsync -a -e ssh")


def make_files(folder: Path, count: int, size: int) -> None:
    draw = random.Random(0)
    for number in range(count):
        path = folder / f"p{number // IN_A_FOLDER:04d}" / f"recording-{number:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw.randbytes(size))


def timed(command: list[str], cwd: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(files: int, size: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    make_files(folder / "work" / "corpus", files, size)
    server = Sshd(folder / "server")
    server.start()
    os.environ |= {
        "PATH": f"{server.client_path()}{os.pathsep}{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_RUNTIME_DIR": server.sockets,
    }
    profile = Profile(host="127.0.0.1", port=server.port, user=server.user, workdir="work")
    save_profile("lab", profile)
    commands = {
        WAYS[0]: [str(Path(sys.executable).with_name("vivavoce")), "server", "push", "lab", "corpus"],
        WAYS[1]: ["rsync", "-a", "-e", "ssh", "corpus", "lab:work/"],
    }
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    there = server.home / "work"
    there.mkdir()
    try:
        for number in range(-1, rounds):  # the first one warms the disk's cache and is not counted
            for way in WAYS if number % 2 else reversed(WAYS):
                Connection(profile, ask=False).close()
                took = timed(commands[way], folder / "work")
                if number >= 0:
                    seconds[way].append(round(took, 3))
                count = sum(path.is_file() for path in (there / "corpus").rglob("*"))
                if count != files:
                    raise AssertionError(f"{way} brought {count} of {files} files")
                shutil.rmtree(there / "corpus")
    finally:
        Connection(profile, ask=False).close()
        server.stop()
        server.end_jobs()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, nargs="+", default=[4096, 65536], help="of each file, one size or several")
    parser.add_argument("--folder", type=Path, default=MEMORY if MEMORY.is_dir() else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "push_speed.json")
    options = parser.parse_args()
    sizes = {}
    for size in options.bytes:
        with tempfile.TemporaryDirectory(prefix="push-speed-", dir=options.folder) as folder:
            sizes[size] = summary(measure(options.files, size, options.rounds, Path(folder)))
    show(options.files, sizes)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "rsync": subprocess.run(["rsync", "--version"], capture_output=True, text=True).stdout.split("\n")[0],
    }
    found = {"machine": machine, "asked": ASKED, "files": options.files, "rounds": options.rounds}
    write_json(options.out, found | {"sizes": {str(size): figures for size, figures in sizes.items()}})


def summary(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and the median of the ratios round by round."""
    ratios = [plain / ours for ours, plain in zip(*seconds.values(), strict=True)]
    medians = {way: round(statistics.median(times), 3) for way, times in seconds.items()}
    return {"seconds": seconds, "median, s": medians, "ratio": round(statistics.median(ratios), 3)}


def show(files: int, sizes: dict[int, dict[str, Any]]) -> None:
    table = Table("bytes of each file", *WAYS, f"speed of ours (asked: {ASKED})", title=f"{files:,} files, median s")
    for size, figures in sizes.items():
        table.add_row(f"{size:,}", *(f"{s:.2f}" for s in figures["median, s"].values()), f"{figures['ratio']:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
