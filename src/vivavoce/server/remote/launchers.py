"""What keeps a job's supervisor alive when the connection ends."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from typing import Dict, List, Optional

from .answer import Refused

TIMEOUT_S = 20


def launch(kind: str, folder: str, argv: List[str]) -> None:
    """Start a program detached.

    Args:
        kind: systemd, tmux, nohup, or auto: the first of these that works here.
        folder: The job's.
        argv: The program; the name of the launcher is put behind it.

    Raises:
        Refused: the launcher of that name does not work here.
    """
    name = "vivavoce-" + os.path.basename(folder)
    reason = None  # type: Optional[str]
    for one in STARTERS if kind == "auto" else [kind]:
        reason = STARTERS[one](name, folder, [*argv, one])
        if reason is None:
            return
    raise Refused("%s; choose another launcher in the profile." % reason)


def _systemd(name: str, folder: str, argv: List[str]) -> Optional[str]:
    """Where the account's services outlive its logins; what they print is in the log, not in the journal."""
    if not (shutil.which("systemd-run") and shutil.which("loginctl")):
        return "There is no systemd on the server"
    environment = dict(os.environ)
    runtime = "/run/user/%d" % os.getuid()
    if os.path.isdir(runtime):  # which a login without PAM does not set
        environment.setdefault("XDG_RUNTIME_DIR", runtime)
    linger = _run(["loginctl", "show-user", str(os.getuid()), "--property=Linger"], environment)
    if linger is None or linger.stdout.strip() != b"Linger=yes":
        return "systemd ends this account's programs at logout (`loginctl enable-linger` on the server changes that)"
    ran = _run(["systemd-run", "--user", "--collect", "--quiet", "--unit=" + name, "--", *argv], environment)
    return _failed("systemd-run", ran)


def _tmux(name: str, folder: str, argv: List[str]) -> Optional[str]:
    """A tmux server of our own, since the user's has the settings and the environment of an earlier day."""
    if not shutil.which("tmux"):
        return "There is no tmux on the server"
    server = "vivavoce-" + hashlib.sha256(os.fsencode(os.path.dirname(folder))).hexdigest()[:8]
    # Without a terminal of its own it needs to be told that signs are UTF-8.
    command = ["tmux", "-u", "-L", server, "-f", os.devnull, "new-session", "-d", "-s", name.replace(".", "_"), *argv]
    return _failed("tmux", _run(command, dict(os.environ)))


def _nohup(name: str, folder: str, argv: List[str]) -> Optional[str]:
    """A session of its own; the supervisor does not listen to SIGHUP."""
    null = subprocess.DEVNULL
    subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True)
    return None


STARTERS = {"systemd": _systemd, "tmux": _tmux, "nohup": _nohup}


def _run(command: List[str], environment: Dict[str, str]) -> Optional[subprocess.CompletedProcess[bytes]]:
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _failed(program: str, ran: Optional[subprocess.CompletedProcess[bytes]]) -> Optional[str]:
    if ran is not None and ran.returncode == 0:
        return None
    said = ran.stdout.decode(errors="replace").strip().splitlines()[-1:] if ran is not None else []
    return "%s does not work on the server (%s)" % (program, (said or ["no answer"])[0].rstrip("."))
