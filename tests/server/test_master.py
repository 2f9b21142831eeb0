import pytest

from vivavoce.errors import UserError
from vivavoce.server import master
from vivavoce.server.master import connect_early, servers_file
from vivavoce.server.profile import Profile
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection

from ..tiny import assert_refused, run_cli
from .sshd import Sshd


@pytest.fixture(autouse=True)
def nothing_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of other tests that were refused before they connected are not ours."""
    monkeypatch.setattr(master, "_begun", {})


def test_a_command_takes_over_the_connection_that_was_begun(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    connect_early(["server", "log", "--follow", "lab"])
    assert len(master._begun) == 1
    connection = Connection(lab, ask=False)
    assert connection.script("echo in").out == "in\n"
    connect_early(["server", "log", "lab"])  # it is there already
    assert not master._begun
    assert sshd.log.count("Accepted publickey") == 1
    connection.close()


def test_what_goes_wrong_early_is_said_once_where_it_is_used(sshd: Sshd, lab: Profile) -> None:
    save_profile("lab", lab)
    sshd.stop()
    assert_refused(run_cli("server", "jobs", "lab"), "no SSH server listens there")
    assert not master._begun
    sshd.start()
    assert run_cli("server", "jobs", "lab").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["train", "lab"],
        ["server"],
        ["server", "list"],
        ["server", "add", "lab", "ada@host"],
        ["server", "run", "lab", "--dry-run", "--", "train", "x.yaml"],
        ["server", "gpus", "--help", "lab"],
        ["server", "gpus", "another"],
        ["server", "gpus"],
    ],
)
def test_nothing_is_begun_where_nothing_connects(
    words: list[str], lab: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile("lab", lab)
    monkeypatch.setattr(master.Master, "begin", lambda self: pytest.fail("it began to connect"))
    connect_early(words)


@pytest.mark.parametrize(
    "text",
    ['[lab]\nhost = "-oProxyCommand=touch owned"\n', '[lab]\nhost = "h"\nuser = "-x"\n', "[lab]\nhost = 7\n", "["],
)
def test_a_profile_that_cannot_be_used_is_left_to_the_command(
    text: str, lab: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers_file().parent.mkdir(parents=True, exist_ok=True)
    servers_file().write_text(text)
    monkeypatch.setattr(master.Master, "begin", lambda self: pytest.fail("it began to connect"))
    connect_early(["server", "jobs", "lab"])
    assert_refused(run_cli("server", "jobs", "lab"), str(servers_file()))


def test_windows_shares_no_connection(lab: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command logs in anew there, and tunnels are refused."""
    for module in ("master", "ssh"):
        monkeypatch.setattr(f"vivavoce.server.{module}.SHARES", False)
    connection = Connection(lab, ask=False)
    assert not any(word.startswith("Control") for word in connection.ssh())
    assert connection.script("echo in").out == "in\n"
    with pytest.raises(UserError, match="Tunnels need a shared connection"):
        connection.forward(1, 2)
