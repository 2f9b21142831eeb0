"""What serves a page on the server, JupyterLab or TensorBoard: the text of this file is the program of a job there.

It needs nothing of vivavoce, only the environment's Python with the program to serve. The key of the page comes in a
variable that stands in no command line, no file of the job and no log: others on the server can read the command line,
and they reach its loopback, too. Port and key are then in a folder that the account alone may read.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

KEY = "VIVAVOCE_PAGE_KEY"
FOLDER = "page"  # in the folder of the job
RECORD = "page.json"
PORT_TRIES = 50
# Exit codes, after sysexits.h; the last line of the log says what.
NO_FOLDER, NOT_INSTALLED = 66, 69


def main(kind: str, folders: list[str], idle_s: float) -> int:
    """Serve until told to end, or until nobody has used the page for ``idle_s`` seconds; returns the exit code."""
    key = os.environ.pop(KEY)
    for folder in folders:
        if not os.access(folder, os.R_OK | os.X_OK) or not Path(folder).is_dir():
            print(Path(folder).absolute(), file=sys.stderr)
            return NO_FOLDER
    place = Path(os.environ["VIVAVOCE_JOB"]) / FOLDER
    place.mkdir(mode=0o700)
    try:
        return (notebook if kind == "notebook" else tensorboard)(key, folders, idle_s, place)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED


def notebook(key: str, folders: list[str], idle_s: float, place: Path) -> int:
    """JupyterLab in a folder, with the account's own settings; it writes its port and token to its runtime folder.

    What is given here stands above the account's config, which may name another address or no token.
    """
    from jupyterlab.labapp import LabApp  # pyright: ignore[reportMissingImports]

    os.environ["JUPYTER_RUNTIME_DIR"] = str(place)
    idle = max(1, round(idle_s))
    values = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": free_port(),
        "ServerApp.port_retries": PORT_TRIES,  # it may be taken before Jupyter comes to it
        "ServerApp.sock": "",
        "ServerApp.certfile": "",  # SSH encrypts
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,  # the account is what it is, as in a container
        "ServerApp.root_dir": Path(folders[0]).absolute(),
        "ServerApp.shutdown_no_activity_timeout": idle,
        # It does not end while a kernel or a terminal is there; one that computes is left alone.
        "MappingKernelManager.cull_idle_timeout": idle,
        "TerminalManager.cull_inactive_timeout": idle,
        "IdentityProvider.token": key,
    }
    LabApp.launch_instance(argv=[f"--{name}={value}" for name, value in values.items()])
    return 0


def tensorboard(key: str, folders: list[str], idle_s: float, place: Path) -> int:
    """TensorBoard of folders, below a path that is the key, since it has no login; all else is not found.

    Its fast loader would serve the same to anybody on another port, so that is left out.
    """
    from tensorboard.program import TensorBoard, WerkzeugServer

    used = time.monotonic()

    def server(app: Any, flags: Any) -> WerkzeugServer:
        def noted(environ: Any, start: Any) -> Any:
            nonlocal used
            used = time.monotonic()
            return app(environ, start)

        return WerkzeugServer(noted, flags)

    board = TensorBoard(server_class=server)
    logdir = folders[0] if len(folders) == 1 else str(gather(folders, place / "runs"))
    values = {"logdir": logdir, "host": "127.0.0.1", "path_prefix": f"/{key}", "load_fast": "false"}
    board.configure(argv=("tensorboard",), port=0, **values)  # port 0: one that is free, taken at once
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(board.launch().split(":")[2].partition("/")[0])
    record = place / RECORD
    record.touch(mode=0o600)
    record.write_text(json.dumps({"port": port, "path": f"/{key}/"}))
    try:
        while time.monotonic() - used < idle_s:
            time.sleep(min(1.0, idle_s))
    finally:
        record.unlink()
    print(f"Nobody used the page for {idle_s:g} s.")
    return 0


def gather(folders: list[str], place: Path) -> Path:
    """A folder with a link to each of ``folders``, named after its path, since TensorBoard takes one folder."""
    place.mkdir()
    for folder in folders:
        name = "_".join(part for part in Path(folder).parts if part not in ("/", "..")) or "folder"
        taken = sum(link.name.partition("~")[0] == name for link in place.iterdir())
        (place / (f"{name}~{taken + 1}" if taken else name)).symlink_to(Path(folder).absolute())
    return place


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
