import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.server.faults import ConnectionLost
from vivavoce.server.master import control_folder
from vivavoce.server.profile import Profile
from vivavoce.server.ssh import Connection

from .sshd import Sshd, free_port

NASTY = (
    "a b",
    "it's",
    '"quoted"',
    "$(touch owned)",
    "`touch owned`",
    "a;b",
    "a\nb",
    "*",
    "",
    "-n",
    "é",
    "\\",
    "!x",
    "~",
)


def test_arguments_arrive_as_they_are(connection: Connection, sshd: Sshd) -> None:
    ran = connection.script('for a in "$@"; do printf "%s\\0" "$a"; done', *NASTY)
    assert ran.code == 0
    assert ran.out.split("\0")[:-1] == list(NASTY)
    assert not list(sshd.home.iterdir())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=5))
def test_no_text_is_read_by_a_shell(connection: Connection, arguments: list[str]) -> None:
    ran = connection.script('printf "%s\\0" "$#" "$@"', *arguments)
    assert ran.out.split("\0")[:-1] == [str(len(arguments)), *arguments]


def test_exit_code_and_both_streams_come_back(connection: Connection) -> None:
    ran = connection.script("echo out; echo err >&2; exit 3")
    assert (ran.code, ran.out, ran.err) == (3, "out\n", "err\n")


def test_one_connection_serves_all_calls(connection: Connection, sshd: Sshd) -> None:
    for _ in range(3):
        connection.script("true")
    Connection(connection.profile, ask=False).script("true")
    assert sshd.log.count("Accepted publickey") == 1


def test_socket_of_a_dead_master_is_replaced(connection: Connection, sshd: Sshd) -> None:
    connection.script("true")
    for process in masters():
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    assert list(control_folder().iterdir())  # the stale socket
    assert Connection(connection.profile, ask=False).script("echo alive").out == "alive\n"
    assert sshd.log.count("Accepted publickey") == 2


def test_master_that_hangs_is_replaced(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.server.master.ANSWER_S", 0.5)
    connection.script("true")
    hanging = masters()
    for process in hanging:
        process.send_signal(signal.SIGSTOP)
    try:
        assert Connection(connection.profile, ask=False).script("echo alive").out == "alive\n"
    finally:
        for process in hanging:
            process.kill()


def test_connection_that_is_cut_says_so_and_comes_back(connection: Connection, sshd: Sshd) -> None:
    connection.open()
    threading.Timer(0.3, sshd.cut).start()
    with pytest.raises(ConnectionLost, match=r"ended in the middle of the work.*run the same command again"):
        connection.script("sleep 20")
    assert connection.script("echo again").out == "again\n"


def test_program_that_takes_too_long_is_given_up(connection: Connection) -> None:
    with pytest.raises(ConnectionLost, match=r"no answer within 0\.2 s"):
        connection.script("sleep 5", timeout=0.2)


def test_host_key_that_changed_is_refused(sshd: Sshd, lab: Profile) -> None:
    sshd.new_host_key()
    for accept in (False, True):
        with pytest.raises(UserError, match=r"host key of .* is not the one that is known .*known_hosts:1") as caught:
            Connection(lab, ask=False, accept_host_key=accept).script("true")
        assert "ssh-keygen -R" in str(caught.value)
    assert "Accepted" not in sshd.log


def test_unknown_host_key_is_taken_only_when_told(sshd: Sshd, lab: Profile) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(UserError, match=r"not known yet.*--accept-host-key"):
        Connection(lab, ask=False).script("true")
    accepted = Connection(lab, ask=False, accept_host_key=True)
    assert accepted.script("echo in").out == "in\n"
    accepted.close()
    assert f":{sshd.port} " in sshd.known_hosts.read_text()
    assert Connection(lab, ask=False).script("echo in").out == "in\n"


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda sshd: (sshd.folder / "authorized_keys").write_text(""), "accepts none of the keys.*ssh-copy-id"),
        (lambda sshd: sshd.stop(), "no SSH server listens there; check the port"),
    ],
)
def test_refusal_is_one_sentence_with_a_mend(
    sshd: Sshd, lab: Profile, break_it: Callable[[Sshd], object], sentence: str
) -> None:
    break_it(sshd)
    with pytest.raises(UserError, match=sentence) as caught:
        Connection(lab, ask=False).open()
    assert "\n" not in str(caught.value)
    assert f"127.0.0.1:{sshd.port}" in str(caught.value)


def test_host_that_is_nowhere(sshd: Sshd) -> None:
    nowhere = Profile(host="no-such-host.invalid")
    with pytest.raises(UserError, match=r"neither a host that can be found nor an alias"):
        Connection(nowhere, ask=False).open()


def test_alias_of_the_config_is_enough(sshd: Sshd) -> None:
    assert Connection(Profile(host="lab"), ask=False).script("echo in").out == "in\n"


def test_ssh_that_is_not_installed(lab: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="ssh is not on this machine; install it"):
        Connection(lab, ask=False).open()


def test_server_without_python(sshd: Sshd, connection: Connection) -> None:
    sshd.without("python3")
    with pytest.raises(UserError, match=r"has no Python 3\.8 or newer"):
        connection.python("answer", {})


def test_interpreter_that_is_too_old_is_passed_over(sshd: Sshd, connection: Connection) -> None:
    real = (sshd.bin / "python3").resolve()
    (sshd.bin / "python").symlink_to(real)
    older = "import sys; sys.version_info = (3, 7, 17); exec(sys.argv.pop())"
    sshd.program("python3", f'#!/bin/sh\n[ "$1" = - ] && exit 1\nexec {real} -c "{older}" "$@"\n')
    assert connection.python("files", {"do": "list", "roots": [], "prune": []})["roots"] == []
    sshd.without("python")
    with pytest.raises(UserError, match=r"has no Python 3\.8 or newer"):
        connection.python("files", {"do": "list", "roots": [], "prune": []})


def test_port_is_led_through(connection: Connection, sshd: Sshd) -> None:
    port = free_port()
    connection.forward(port, sshd.port)
    with socket.create_connection(("127.0.0.1", port), 5) as through:
        assert through.recv(7) == b"SSH-2.0"
    with pytest.raises(UserError, match=f"Port {sshd.port} of this machine cannot be led"):
        connection.forward(sshd.port, sshd.port)
    connection.unforward(port, sshd.port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_folder_of_sockets_is_for_this_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("vivavoce.server.master.LONGEST_FOLDER", 1000)
    assert control_folder().stat().st_mode & 0o777 == 0o700
    control_folder().chmod(0o755)
    with pytest.raises(UserError, match="open to others"):
        control_folder()


def masters() -> list[psutil.Process]:
    """The processes that hold the shared connections of this test."""
    folder = str(control_folder())
    found = psutil.process_iter(["name", "cmdline"])
    mine = [p for p in found if p.info["name"] == "ssh" and any(folder in word for word in p.info["cmdline"] or ())]
    assert mine
    return mine
