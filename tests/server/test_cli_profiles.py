import json
import shutil
from pathlib import Path

import pytest

from vivavoce.server.kinds import EnvironmentKind, Launcher
from vivavoce.server.master import servers_file
from vivavoce.server.profile import Environment, Profile, Slurm
from vivavoce.server.profiles import load_profile, load_profiles, save_profile

from ..tiny import assert_refused, run_cli
from .conftest import make_profile
from .environments import asked, commit, give_tool, make_clone
from .sshd import Sshd


@pytest.fixture
def address(sshd: Sshd) -> str:
    return f"{sshd.user}@127.0.0.1:{sshd.port}"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def add(*words: object, name: str = "lab", target: str = "ada@lab") -> Profile:
    """Add a server without connecting to it; returns the profile that was kept."""
    result = run_cli("server", "add", name, target, "--no-check", *words)
    assert result.code == 0, result.err
    return load_profile(name)


# --- add --------------------------------------------------------------------------------------------------------------


def test_server_is_checked_and_kept(sshd: Sshd, address: str) -> None:
    sshd.program("df", "#!/bin/sh\necho '/dev/sda1 1000000000 1 900000000 1% /'\n")
    result = run_cli("server", "add", "lab", address, "--workdir", "ada's work", "--json")
    assert result.code == 0, result.err
    assert {row["name"]: row["status"] for row in result.json["rows"]}["login"] == "ok"
    assert load_profile("lab") == make_profile(sshd)
    shown = run_cli("server", "add", "lab", address, "--replace")
    assert f"lab is {address}, kept in {servers_file()}" in shown.out.replace("\n", " ")
    assert "environment → `vivavoce server setup lab`" in shown.out
    assert load_profile("lab").workdir == "vivavoce"


def test_server_that_lacks_something_is_kept_with_exit_code_1(sshd: Sshd, address: str) -> None:
    sshd.program("df", "#!/bin/sh\necho '/dev/sda1 1000000000 1 900000000 1% /'\n")
    result = run_cli("server", "add", "lab", address, "--env", "conda", "--json")
    assert result.code == 1
    assert [row["name"] for row in result.json["rows"] if row["status"] == "bad"] == ["conda"]
    assert "lab" in load_profiles()


def test_server_that_cannot_be_reached_is_not_kept(sshd: Sshd, address: str) -> None:
    sshd.known_hosts.write_text("")
    assert_refused(run_cli("server", "add", "lab", address), "not known yet", "--accept-host-key")
    assert not servers_file().exists()
    sshd.stop()
    assert_refused(run_cli("server", "add", "lab", address), "no SSH server listens there")
    assert not servers_file().exists()


def test_host_key_is_taken_when_told(sshd: Sshd, address: str) -> None:
    sshd.known_hosts.write_text("")
    assert run_cli("server", "add", "lab", address, "--accept-host-key").code in (0, 1)
    assert "lab" in load_profiles()
    assert f":{sshd.port} " in sshd.known_hosts.read_text()


@pytest.mark.usefixtures("config")
def test_every_option_reaches_the_profile() -> None:
    words = ["--workdir", "~/it's work", "--env", "uv", "--env-path", "/scratch/env", "--packages", "/scratch/packages"]
    words += ["--python", "3.12", "--extra", "notebook", "--extra", "voices", "--pip-option", "--index-url=https://x/y"]
    words += ["--data", "recordings=/data/a=b", "--data", "sets/one/=sets", "--launcher", "tmux", "--partition", "gpu"]
    words += ["--account", "speech", "--qos", "long", "--time", "1-12:00:00", "--cpus-per-gpu", "8"]
    assert add(*words, "--slurm-option", "--exclude=node7", target="ada@[fe80::1]:2222") == Profile(
        host="fe80::1",
        port=2222,
        user="ada",
        workdir="it's work",
        launcher=Launcher.TMUX,
        environment=Environment(
            kind=EnvironmentKind.UV,
            path="/scratch/env",
            packages="/scratch/packages",
            python="3.12",
            extras=("notebook", "voices"),
            pip_options=("--index-url=https://x/y",),
        ),
        data={"recordings": "/data/a=b", "sets/one": "sets"},
        slurm=Slurm(
            partition="gpu",
            account="speech",
            qos="long",
            time="1-12:00:00",
            cpus_per_gpu=8,
            options=("--exclude=node7",),
        ),
    )


@pytest.mark.usefixtures("config")
def test_slurm_is_used_by_itself_or_by_any_of_its_options() -> None:
    assert add(name="a").slurm is None
    assert add("--slurm", name="b").slurm == Slurm()
    assert add("--time", "1:00", name="c").slurm == Slurm(time="1:00")
    assert add("--slurm-option", "--exclusive", name="d").slurm == Slurm(options=("--exclusive",))


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["a b", "host"], ("'a b' is no name for a server",)),
        (["lab", "-oProxyCommand=x"], ()),
        (["lab", "ada@"], ("'ada@' is no server",)),
        (["lab", "host:70000"], ("65535",)),
        (["lab", "host", "--workdir", "~bob/x"], ("--workdir '~bob/x'", "another user's ~")),
        (["lab", "host", "--env-path", ""], ("--env-path ''", "must be a folder")),
        (["lab", "host", "--data", "recordings"], ("--data 'recordings' is no LOCAL=REMOTE",)),
        (["lab", "host", "--data", "../x=/y"], ("--data", "below the one you work in")),
        (["lab", "host", "--cpus-per-gpu", "0"], ("--cpus-per-gpu 0",)),
        (["lab", "host", "--pip-option", "--index-url=https://a:secret@b"], ("holds a password", "netrc")),
        (["lab", "host", "--accept-host-key"], ("--accept-host-key", "--no-check", "leave one out")),
        (["kept", "host"], ("There is a server 'kept' already", "--replace")),
    ],
)
def test_what_cannot_be_kept_is_refused(words: list[str], parts: tuple[str, ...]) -> None:
    save_profile("kept", Profile(host="old"))
    result = run_cli("server", "add", "--no-check", *words)
    if parts:
        assert_refused(result, *parts)
    assert result.code == 2
    assert "secret" not in result.err
    assert load_profiles() == {"kept": Profile(host="old")}


# --- list and remove --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("config")
def test_servers_are_listed_and_forgotten() -> None:
    assert "There is no server yet" in run_cli("server", "list").out
    assert run_cli("server", "list", "--json").json == []
    add("--workdir", "/data/[bold]ada", name="lab")
    add("--slurm", name="cluster", target="cluster")
    listed = {server["server"]: server for server in run_cli("server", "list", "--json").json}
    assert listed["lab"]["address"] == "ada@lab"
    assert listed["lab"]["environment_path"] == "/data/[bold]ada/env"
    assert "slurm" in listed["cluster"]
    table = run_cli("server", "list").out
    assert "/data/[bold]ada" in table
    assert "Slurm" in table
    assert run_cli("server", "remove", "lab", "--json").json["address"] == "ada@lab"
    assert list(load_profiles()) == ["cluster"]
    assert_refused(run_cli("server", "remove", "lab"), "no server 'lab'", "vivavoce server add lab")


# --- check and setup --------------------------------------------------------------------------------------------------


def test_check_has_an_exit_code_for_what_is_bad(sshd: Sshd, lab: Profile) -> None:
    sshd.program("df", "#!/bin/sh\necho '/dev/sda1 1000000000 1 900000000 1% /'\n")
    save_profile("lab", lab)
    good = run_cli("server", "check", "lab", "--json")
    assert (good.code, good.json["bad"], good.json["address"]) == (0, 0, lab.address)
    sshd.program("df", "#!/bin/sh\necho '/dev/sda1 1000000000 1 1000000 1% /'\n")
    bad = run_cli("server", "check", "lab")
    assert bad.code == 1
    assert "8 GB are needed" in bad.out.replace("\n", " ")
    assert_refused(run_cli("server", "check", "lob"), "no server 'lob'", "did you mean lab")
    sshd.stop()
    assert_refused(run_cli("server", "check", "lab"), "no SSH server listens there")


def test_setup_installs_a_clone_and_keeps_what_it_was_told(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_tool(sshd, "uv")
    save_profile("lab", make_profile(sshd, environment=Environment(kind=EnvironmentKind.UV)))
    clone = make_clone(tmp_path / "a clone")
    words = ("server", "setup", "lab", "--source", clone)
    plan = run_cli(*words, "--extra", "notebook", "--dry-run")
    assert plan.code == 0, plan.err
    assert "1. make the environment ada's work/env by uv" in plan.out
    assert load_profile("lab").environment.extras == ()
    assert asked(sshd) == []
    done = run_cli(*words, "--extra", "notebook", "--pip-option", "--no-cache", "--json")
    assert done.code == 0, done.err
    assert [step["what"].split()[0] for step in done.json["steps"]] == ["make", "install"]
    assert "Successfully installed vivavoce" in done.err
    kept = load_profile("lab").environment
    assert (kept.extras, kept.pip_options) == (("notebook",), ("--no-cache",))
    again = run_cli(*words)
    assert again.out.startswith("Nothing to do: ada's work/env has vivavoce at ")
    (clone / "src" / "vivavoce" / "__init__.py").write_text("changed = 1\n")
    told = run_cli(*words)
    assert told.out.startswith("Nothing to do")
    assert "Not installed" in told.err
    assert "src/vivavoce/__init__.py; commit them, or add --changes." in told.err
    changed = run_cli(*words, "--changes", "--json").json
    assert "+" in changed["commit"]
    assert "changed" in (sshd.home / "ada's work/env/site/vivavoce/__init__.py").read_text()
    assert json.loads((sshd.home / "ada's work/env/vivavoce-setup.json").read_text())["commit"] == changed["commit"]


def test_setup_that_fails_keeps_the_profile(sshd: Sshd, tmp_path: Path) -> None:
    give_tool(sshd, "uv")
    (sshd.home / "fail").write_text("ERROR: Network is unreachable\n")
    profile = make_profile(sshd, environment=Environment(kind=EnvironmentKind.UV))
    save_profile("lab", profile)
    clone = make_clone(tmp_path / "clone")
    commit(clone)
    result = run_cli("server", "setup", "lab", "--source", clone, "--extra", "voices")
    assert_refused(result, "could not make the environment", "--pip-option=--index-url=ADDRESS")
    assert load_profile("lab") == profile
    shutil.rmtree(clone)
    assert_refused(run_cli("server", "setup", "lab", "--source", clone), "is no clone of vivavoce")
