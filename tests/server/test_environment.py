import json
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from vivavoce.errors import UserError
from vivavoce.server.environment import Setup, _failure, refuse_secrets, setup
from vivavoce.server.faults import ConnectionLost
from vivavoce.server.profile import Environment, Profile
from vivavoce.server.source import Source, find_source
from vivavoce.server.ssh import Connection

from ..conftest import SmallDisk
from .conftest import make_profile
from .environments import PYPROJECT, asked, commit, give_tool, make_clone
from .sshd import Sshd

ENV = "ada's work/env"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "a clone")


@pytest.fixture
def code(clone: Path) -> Source:
    return find_source(clone)


@pytest.fixture
def quick(sshd: Sshd) -> Iterator[Connection]:
    """A connection whose profile makes its environment by uv, which takes no time here."""
    give_tool(sshd, "uv")
    connection = Connection(make_profile(sshd, environment=Environment(kind="uv")), ask=False)
    yield connection
    connection.close()


def with_(connection: Connection, **changes: Any) -> Connection:
    """The same server by another profile."""
    profile = connection.profile
    environment = Environment.model_validate(profile.environment.model_dump() | changes)
    return Connection(profile.model_copy(update={"environment": environment}), ask=False)


def stamp(sshd: Sshd, env: str = ENV) -> dict[str, Any]:
    return json.loads((sshd.home / env / "vivavoce-setup.json").read_text())


def installs(sshd: Sshd) -> list[str]:
    """The words of each `pip install`."""
    return [" ".join(words[2:]) for words in asked(sshd) if "install" in words]


def whats(result: Setup) -> list[str]:
    """The first word of each step."""
    return [step.what.split()[0] for step in result.steps]


def wait_for(true: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- real installers --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_venv_and_pip(sshd: Sshd, connection: Connection, clone: Path, code: Source) -> None:
    lines: list[str] = []
    done = setup(connection, code, say=lines.append)
    python = sshd.home / ENV / "bin" / "python"
    assert [step.what for step in done.steps] == [
        f"make the environment {ENV} by venv",
        "install vivavoce and its dependencies",
    ]
    assert done.python.startswith("Python 3.")
    assert "Successfully installed vivavoce-0.1.0" in lines
    assert python.exists()
    assert stamp(sshd)["commit"] == code.commit
    assert setup(connection, code).steps == []
    (clone / "src" / "vivavoce" / "__init__.py").write_text("__version__ = 'new'\n")
    commit(clone)
    assert ["alone" in step.what for step in setup(connection, find_source(clone)).steps] == [True]
    installed = next((sshd.home / ENV).rglob("vivavoce/__init__.py"))
    assert installed.read_text() == "__version__ = 'new'\n"


def test_real_uv(sshd: Sshd, quick: Connection, code: Source) -> None:
    program = shutil.which("uv")
    if program is None:
        pytest.skip("uv is not installed")
    sshd.without("uv")
    (sshd.bin / "uv").symlink_to(program)
    connection = with_(quick, packages="downloads of uv")
    assert setup(connection, code).python.startswith("Python 3.")
    assert (sshd.home / ENV / "pyvenv.cfg").exists()
    assert (sshd.home / "downloads of uv" / "uv").is_dir()
    assert setup(connection, code).steps == []
    assert len(setup(connection, code, again=True).steps) == 3


# --- what is done, and what is not ------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(sshd: Sshd, quick: Connection, clone: Path, code: Source) -> None:
    first = [f"{sshd.bin}/uv", "pip", "install", "--python", f"{sshd.home / ENV}/bin/python"]
    first += ["--reinstall-package", "vivavoce"]

    def left(connection: Connection) -> list[list[str]]:
        """The words of the commands that are left, after `cd FOLDER &&`."""
        return [shlex.split(step.shell)[3:] for step in setup(connection, find_source(clone), dry_run=True).steps]

    assert len(setup(quick, code).steps) == 2
    before = asked(sshd)
    assert setup(quick, code).steps == []
    assert asked(sshd) == before
    assert left(with_(quick, extras=["voices", "notebook"])) == [[*first, ".[notebook,voices]"]]
    options = ["--index-url", "https://x y"]
    assert left(with_(quick, pip_options=options)) == [[*first, *options, "."]]
    commit(clone)
    assert left(quick) == [[*first, "--no-deps", "."]]
    (clone / "pyproject.toml").write_text(PYPROJECT.format(dependencies='"numpy"'))
    commit(clone)
    assert left(quick) == [[*first, "."]]


def test_environment_that_no_longer_works_is_mended(sshd: Sshd, quick: Connection, code: Source) -> None:
    setup(quick, code)
    shutil.rmtree(sshd.home / ENV / "site" / "vivavoce")
    assert whats(setup(quick, code, dry_run=True)) == ["install"]
    (sshd.home / ENV / "bin" / "python").unlink()
    assert whats(setup(quick, code, dry_run=True)) == ["remove", "make", "install"]


def test_code_is_sent_only_to_be_installed(sshd: Sshd, quick: Connection, code: Source) -> None:
    setup(quick, code)
    assert [*(sshd.home / "ada's work" / ".vivavoce" / "source").iterdir()] == []


def test_dry_run_tells_the_steps_and_does_none(sshd: Sshd, quick: Connection, code: Source) -> None:
    connection = with_(quick, packages="my packages", path="envs/it's")
    connection.profile.data["recordings"] = str(sshd.folder / "disk" / "rec")
    result = setup(connection, code, dry_run=True)
    assert [step.what for step in result.steps] == [
        f"lead ada's work/recordings to {sshd.folder}/disk/rec",
        "make the environment envs/it's by uv",
        "install vivavoce and its dependencies",
    ]
    assert f"TMPDIR='{sshd.home}/my packages/tmp'" in result.steps[1].shell
    assert [*sshd.home.iterdir()] == []


def test_downloads_go_where_the_profile_says(sshd: Sshd, quick: Connection, code: Source) -> None:
    setup(with_(quick, packages="my packages"), code)
    assert {words[1] for words in asked(sshd)} == {f"{sshd.home}/my packages/conda{sshd.home}/my packages/uv"}
    assert {path.name for path in (sshd.home / "my packages").iterdir()} == {"pip", "uv", "conda", "tmp"}


def test_data_folders_are_linked_and_files_never_hidden(sshd: Sshd, quick: Connection, code: Source) -> None:
    place, link = sshd.folder / "disk" / "it's", sshd.home / "ada's work" / "recordings" / "deep"
    quick.profile.data["recordings/deep"] = str(place)
    setup(quick, code)
    assert link.resolve() == place
    assert link.is_symlink()
    link.unlink()
    link.mkdir()
    (link / "file").write_text("kept")
    with pytest.raises(UserError, match=r"recordings/deep holds files, .*move them there"):
        setup(quick, code)
    assert (link / "file").read_text() == "kept"
    shutil.rmtree(link)
    link.symlink_to(sshd.folder)
    assert [step.what for step in setup(quick, code).steps] == [f"lead ada's work/recordings/deep to {place}"]
    assert link.resolve() == place  # a link holds no files


def test_again_removes_only_what_setup_made(sshd: Sshd, quick: Connection, code: Source) -> None:
    setup(quick, code)
    (sshd.home / ENV / "mine").write_text("")
    assert whats(setup(quick, code, again=True)) == ["remove", "make", "install"]
    assert not (sshd.home / ENV / "mine").exists()
    theirs = sshd.home / "theirs"
    shutil.copytree(sshd.home / ENV, theirs, ignore=shutil.ignore_patterns("vivavoce-setup.json"))
    other = with_(quick, path="theirs")
    with pytest.raises(UserError, match="theirs was not made by vivavoce and is not removed"):
        setup(other, code, again=True)
    assert whats(setup(other, code)) == ["install"]
    assert stamp(sshd, "theirs")["made"] is False
    with pytest.raises(UserError, match="theirs was not made by vivavoce and is not removed"):
        setup(other, code, again=True)


def test_folder_that_is_no_environment_is_left_alone(sshd: Sshd, quick: Connection, code: Source) -> None:
    (sshd.home / "thesis").mkdir()
    (sshd.home / "thesis" / "chapter").write_text("kept")
    for again in (False, True):
        with pytest.raises(UserError, match=r"thesis is there and is no environment.*--env-path"):
            setup(with_(quick, path="thesis"), code, again=again)
    assert (sshd.home / "thesis" / "chapter").read_text() == "kept"


def test_another_python_is_made_only_when_told(sshd: Sshd, quick: Connection, code: Source) -> None:
    setup(quick, code)
    other = with_(quick, python="3.12")
    with pytest.raises(UserError, match=r"made with Python as it was found, .*wants Python 3\.12; --again"):
        setup(other, code)
    steps = setup(other, code, again=True, dry_run=True).steps
    assert "uv venv --python 3.12" in steps[1].shell.replace("'", "")


# --- conda ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conda", "mamba", "micromamba"])
def test_conda_makes_the_environment(name: str, sshd: Sshd, quick: Connection, code: Source) -> None:
    give_tool(sshd, name)
    setup(with_(quick, kind="conda", path="/".join([str(sshd.home), "envs", "a b"])), code)
    channel = ["--channel", "conda-forge"] * (name == "micromamba")
    words = ["create", *channel, "--yes", "--prefix", f"{sshd.home}/envs/a b", "python=3.11", "pip"]
    assert asked(sshd)[0] == [name, "", *words]
    assert installs(sshd) == ["install --no-input --disable-pip-version-check --progress-bar=off ."]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("conda", r"has no conda; install Miniforge.*--env venv"),
        ("uv", r"has no uv; put it there.*--env venv"),
        ("venv", r"has no Python 3\.99 or newer; name one with --python, or use --env uv"),
    ],
)
def test_tool_that_is_missing(kind: str, sentence: str, sshd: Sshd, quick: Connection, code: Source) -> None:
    sshd.without("uv")
    with pytest.raises(UserError, match=sentence):
        setup(with_(quick, kind=kind), replace(code, least_python=(3, 99)))
    assert [*sshd.home.iterdir()] == []


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("ERROR: [Errno 28] No space left on device", "--env-path and --packages"),
        ("OSError: [Errno 122] Disk quota exceeded: '/home/ada/x'", "quota is full"),
        ("Error: ensurepip is not available.", "python3-venv"),
        ("ERROR: Package 'vivavoce' requires a different Python: 3.9.2 not in '>=3.11'", "too old or too new"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "mirror"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(Network is unreachable)'\n"
            "ERROR: No matching distribution found for torch",
            "--pip-option=--index-url=ADDRESS",
        ),
        ("ERROR: No matching distribution found for torch<2.14,>=2.6", "another index"),
        ("error: could not create '/opt/env': Permission denied", "may not write"),
        ("something new\nERROR: a thing broke\n", r"\(ERROR: a thing broke\); the lines above"),
        ("", r"\(exit code 3\)"),
    ],
)
def test_failure_is_one_sentence_with_a_mend(printed: str, sentence: str) -> None:
    error = _failure(Profile(host="lab"), "install vivavoce", {"code": 3, "lines": printed.splitlines()})
    with pytest.raises(UserError, match=f"^lab could not install vivavoce.*{sentence}"):
        raise error
    assert "\n" not in str(error)


def test_failed_setup_leaves_no_stamp_and_is_taken_up(sshd: Sshd, quick: Connection, code: Source) -> None:
    setup(quick, code)
    (sshd.home / "fail").write_text("ERROR: Disk quota exceeded\n")
    lines: list[str] = []
    with pytest.raises(UserError, match=r"could not install vivavoce.*quota is full"):
        setup(with_(quick, extras=["voices"]), code, say=lines.append)
    assert "ERROR: Disk quota exceeded" in lines
    assert not (sshd.home / ENV / "vivavoce-setup.json").exists()
    assert whats(setup(quick, code, dry_run=True)) == ["install"]


def test_environment_that_was_not_finished_is_made_anew(sshd: Sshd, quick: Connection, code: Source) -> None:
    (sshd.home / "fail").write_text("ERROR: Network is unreachable\n")
    with pytest.raises(UserError, match=r"could not make the environment.*does not reach the package index"):
        setup(quick, code)
    (sshd.home / ENV).mkdir()
    (sshd.home / ENV / "half").write_text("")
    (sshd.home / "fail").unlink()
    assert whats(setup(quick, code)) == ["remove", "make", "install"]


def test_of_two_setups_at_once_one_wins_and_the_other_is_told(sshd: Sshd, quick: Connection, code: Source) -> None:
    (sshd.home / "slow").write_text("")
    ended: list[BaseException] = []

    def first() -> None:
        try:
            setup(quick, code)
        except UserError as error:
            ended.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    wait_for(lambda: asked(sshd))
    with pytest.raises(UserError, match=rf"^{sshd.user} is setting {ENV} up since .*process \d+.*wait"):
        setup(with_(quick), code)
    sshd.cut()
    thread.join(20)
    assert [type(error) for error in ended] == [ConnectionLost]


def test_connection_that_is_cut_ends_the_installer(sshd: Sshd, quick: Connection, code: Source) -> None:
    (sshd.home / "slow").write_text("")
    threading.Thread(target=lambda: (wait_for(lambda: asked(sshd)), sshd.cut())).start()
    with pytest.raises(ConnectionLost, match="run the same command again"):
        setup(quick, code)
    home = str(sshd.home)
    wait_for(lambda: not [p for p in psutil.process_iter() if _sleeps(p, home)])
    (sshd.home / "slow").unlink()
    assert setup(quick, code).python.startswith("Python 3.")


def _sleeps(process: psutil.Process, home: str) -> bool:
    try:
        return process.name() == "sleep" and process.environ().get("HOME") == home
    except psutil.Error:
        return False


def test_full_disk_is_one_sentence(sshd: Sshd, quick: Connection, code: Source, small_disk: SmallDisk) -> None:
    disk = small_disk(64)
    (disk / "filling").write_bytes(bytes(64 * 1024 - 8192))
    with pytest.raises(UserError, match=r"disk or your quota.* is full") as caught:
        setup(with_(quick, path=str(disk / "a" / "b" / "c" / "env"), packages=str(disk / "packages")), code)
    assert "\n" not in str(caught.value)
    assert not [*disk.rglob("vivavoce-setup.json")]


def test_password_in_an_address_is_refused_and_not_shown(quick: Connection, code: Source, sshd: Sshd) -> None:
    option = "--index-url=https://ada:secret@mirror/simple"
    with pytest.raises(UserError, match=r"--index-url=https://…@mirror/simple holds a password.*netrc") as caught:
        setup(with_(quick, pip_options=[option]), code)
    assert "secret" not in str(caught.value)
    assert asked(sshd) == []
    refuse_secrets(("--index-url=https://mirror:8080/simple@x", "--find-links", "/a:b@c"))


def test_place_where_one_may_not_write(sshd: Sshd, quick: Connection, code: Source) -> None:
    (sshd.home / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot be made on the server .*another place"):
        setup(with_(quick, path="file/env"), code)
    assert (sshd.home / "file").read_text() == ""
