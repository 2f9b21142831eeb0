"""A real `sshd` on a loopback port, with throw-away keys and an account whose home and programs a test can set."""

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from vivavoce.server.transfer.rsync import usable_rsync

# Programs that the account finds, taken from this machine; a test removes some, or puts its own in their place.
PROGRAMS = (
    "sh bash env cat ls mkdir rm cp mv ln chmod touch head tail sleep true false date df du id uname hostname nproc ps "
    "grep sed awk cut sort tr wc stat test printf dirname basename kill find tar gzip rsync tmux git getent readlink "
    "realpath mktemp tty locale echo expr whoami nohup setsid"
)


def sshd_path() -> str | None:
    """The SSH server of this machine, which is not on every PATH."""
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Sshd:
    """An SSH server and one account on it; all its files lie in ``folder``, whose name may hold anything."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.home, self.bin = folder / "home", folder / "bin"
        self.sockets = tempfile.mkdtemp(prefix="vv-")  # of the client; their paths must be short
        self.home.mkdir(parents=True)
        self.bin.mkdir()
        for name in PROGRAMS.split():
            found = shutil.which(name)
            if found:
                (self.bin / name).symlink_to(found)
        # The interpreter below the environment of the tests: it has the standard library and pip, and nothing of ours.
        (self.bin / "python3").symlink_to(Path(sys.executable).resolve())
        self.environment = {
            "HOME": str(self.home),
            "PATH": str(self.bin),
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder / "tmp"),
            "VIVAVOCE_GPU_LOCKS": str(folder / "gpu-locks"),
        }
        (folder / "tmp").mkdir()
        self.set_environment()
        self._key("host_key")
        self._key("client_key")
        shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
        self.trust()
        self._write_configs()
        self._process: subprocess.Popen[bytes] | None = None

    # --- what a test may change ---------------------------------------------------------------------------------

    def set_environment(self, **changes: str) -> None:
        """Change variables of the account; they hold for what is started from then on."""
        self.environment |= changes
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        (self.folder / "environment").write_text("\n".join(lines) + "\n")

    def program(self, name: str, text: str) -> Path:
        """Put a program of the account's own in place of the machine's."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def without(self, *names: str) -> None:
        """Take programs away from the account."""
        for name in names:
            (self.bin / name).unlink(missing_ok=True)

    def trust(self) -> None:
        """Let the client know the present host key."""
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def new_host_key(self) -> None:
        """Set the server up anew, with another host key."""
        self.stop()
        self._key("host_key")
        self.start()

    def cut(self) -> int:
        """Cut all connections, as a network does; what was started detached lives on. Returns how many there were."""
        sessions = psutil.Process(self._pid()).children()
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [*session.children(), session]:
                    if process.name().startswith("sshd"):
                        process.kill()
        return len(sessions)

    def end_jobs(self) -> None:
        """Kill what runs with this account's environment, such as detached jobs, and the client's connections."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.home) or self.sockets in " ".join(process.cmdline()):
                    process.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd shuts its helper in
        program = sshd_path()
        assert program
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(self.folder / "sshd_config")], stderr=log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"sshd did not start: {self.log}")

    def stop(self) -> None:
        """End the server and all connections."""
        if self._process is not None:
            self.cut()
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def client_path(self) -> Path:
        """A folder for the front of the client's PATH, where `ssh` is the real one with our keys and known hosts."""
        folder = self.folder / "client"
        folder.mkdir(exist_ok=True)
        real = shutil.which("ssh", path=os.defpath) or shutil.which("ssh")
        shim = folder / "ssh"
        shim.write_text(
            f'#!/bin/sh\nexec {shlex.quote(str(real))} -F {shlex.quote(str(self.folder / "ssh_config"))} "$@"\n'
        )
        shim.chmod(0o755)
        return folder

    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _key(self, name: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def _write_configs(self) -> None:
        def quoted(path: Path) -> str:
            return f'"{path}"'

        # The login shell of the account: its home and its programs, and no login script of this machine.
        shell = self.folder / "account.sh"
        shell.write_text(
            f'#!/bin/sh\n. {shlex.quote(str(self.folder / "environment"))}\ncd "$HOME" || exit 1\n'
            'exec /bin/sh -c "${SSH_ORIGINAL_COMMAND:-sh}"\n'
        )
        shell.chmod(0o755)
        server = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": quoted(self.folder / "host_key"),
            "AuthorizedKeysFile": quoted(self.folder / "authorized_keys"),
            "PidFile": "none",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "StrictModes": "no",
            "PermitRootLogin": "yes",
            "AllowTcpForwarding": "yes",
            "MaxSessions": 100,
            "MaxStartups": "100:30:200",
            "Subsystem": "sftp " + next((p for p in SFTP_SERVERS if Path(p).exists()), "internal-sftp"),
            # bash reads no login script of this machine where it is not the first shell.
            "SetEnv": "SHLVL=2",
            "ForceCommand": shlex.quote(str(shell)),
        }
        (self.folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in server.items()))
        client = {
            "IdentityFile": quoted(self.folder / "client_key"),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": quoted(self.known_hosts),
            "GlobalKnownHostsFile": "none",
        }
        lines = [f"Host lab\n  HostName 127.0.0.1\n  Port {self.port}\n  User {self.user}\nHost *\n"]
        (self.folder / "ssh_config").write_text(
            "".join(lines + [f"  {key} {value}\n" for key, value in client.items()])
        )


SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server")


needs_rsync = pytest.mark.skipif(not usable_rsync(), reason="rsync 3.1 or newer is not installed")
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


def hear_signals() -> None:
    """For `preexec_fn`: a command hears Ctrl-C also where the tests run in the background, which ignores it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def why_not() -> str:
    """Why no server can be started here; empty where one can."""
    for program in ("ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return "" if sshd_path() else "sshd is not installed (Debian: apt-get install openssh-server)"
