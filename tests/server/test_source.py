import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from vivavoce.errors import UserError
from vivavoce.server import source as module
from vivavoce.server.source import UNPACK, find_source, upload
from vivavoce.server.ssh import Connection

from ..conftest import SmallDisk
from .environments import PYPROJECT, commit, git, make_clone
from .sshd import Sshd


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "a clone")


def test_commit_and_needs_are_read(clone: Path) -> None:
    source = find_source(clone)
    assert (source.commit, source.tree, source.left_out) == (git(clone, "rev-parse", "HEAD"),) * 2 + ((),)
    assert source.least_python == (3, 11)
    (clone / "src" / "vivavoce" / "more.py").write_text("")
    commit(clone)
    assert find_source(clone).dependencies == source.dependencies
    (clone / "pyproject.toml").write_text(PYPROJECT.format(dependencies='"numpy"'))
    commit(clone)
    assert find_source(clone).dependencies != source.dependencies


def test_changes_are_told_or_taken_along(clone: Path) -> None:
    file = clone / "src" / "vivavoce" / "__init__.py"
    file.write_text("changed = 1\n")
    (clone / "new file.py").write_text("")
    plain, changed = find_source(clone), find_source(clone, changes=True)
    assert set(plain.left_out) == {"src/vivavoce/__init__.py", "new file.py"}
    assert changed.left_out == ("new file.py",)
    assert changed.commit.startswith(plain.commit + "+")
    assert find_source(clone, changes=True).commit == changed.commit  # the same content has the same name
    assert git(clone, "show", f"{changed.tree}:src/vivavoce/__init__.py") == "changed = 1"
    assert git(clone, "stash", "list") == ""
    assert file.read_text() == "changed = 1\n"


def test_clean_clone_has_no_changes_to_take(clone: Path) -> None:
    assert find_source(clone, changes=True).commit == find_source(clone).commit


def test_clone_is_the_running_one_or_the_current_folder(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_running_from", lambda: None)
    monkeypatch.chdir(clone)
    assert find_source().folder == clone
    monkeypatch.chdir(clone.parent)
    with pytest.raises(UserError, match="runs from no clone; name one with --source"):
        find_source()
    monkeypatch.setattr(module, "_running_from", lambda: clone)
    assert find_source().folder == clone


def test_variables_of_a_git_hook_lead_nowhere_else(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_clone(tmp_path / "other")
    commit(other)
    wanted = find_source(clone).commit
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert find_source(clone).commit == wanted


@pytest.mark.parametrize("what", ["absent", "no project", "other project", "no git", "no commit"])
def test_what_is_no_clone_is_refused(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    if what != "absent":
        folder.mkdir()
        name = "other" if what == "other project" else "vivavoce"
        text = "" if what == "no project" else PYPROJECT.format(dependencies="").replace("vivavoce", name)
        (folder / "pyproject.toml").write_text(text)
    if what == "no commit":
        git(folder, "init", "--quiet")
    with pytest.raises(UserError, match=r"is no clone of vivavoce with a commit; name one with --source"):
        find_source(folder)


def test_code_arrives_in_a_folder_of_any_name(connection: Connection, sshd: Sshd, clone: Path) -> None:
    (clone / "not committed").write_text("")
    for name in ('-it\'s "code" $HOME', str(sshd.folder / "a/b")):
        upload(connection, find_source(clone), name)
        sent = sshd.home / name
        assert (sent / "src/vivavoce/__init__.py").read_text() == '__version__ = "0.1.0"\n'
        assert {path.name for path in sent.iterdir()} == {"src", "pyproject.toml", "backend.py"}
        assert [path.name for path in sent.parent.iterdir() if "part" in path.name] == []


def test_code_that_is_there_is_left(connection: Connection, sshd: Sshd, clone: Path) -> None:
    (sshd.home / "code").mkdir()
    upload(connection, find_source(clone), "code")
    assert [*(sshd.home / "code").iterdir()] == []
    assert [path.name for path in sshd.home.iterdir()] == ["code"]


def test_place_that_cannot_be_written_is_one_sentence(connection: Connection, sshd: Sshd, clone: Path) -> None:
    (sshd.home / "file").write_text("")
    with pytest.raises(UserError, match=r"could not be written to file/code on .*127\.0\.0\.1.*file"):
        upload(connection, find_source(clone), "file/code")


@pytest.mark.parametrize("kept", [0.5, 0.99, 1.0])
def test_half_an_archive_leaves_nothing(kept: float, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = 100_000
        archive.addfile(entry, io.BytesIO(bytes(range(250)) * 400))
    sent = packed.getvalue()
    text = f"{tmp_path}/it's code\n".encode() + sent[: int(len(sent) * kept)]
    done = subprocess.run(["sh", "-c", UNPACK], input=text, capture_output=True, check=False)
    assert (done.returncode == 0) == (kept == 1.0)
    assert [path.name for path in tmp_path.iterdir()] == (["it's code"] if kept == 1.0 else [])


def test_full_disk_leaves_nothing(connection: Connection, clone: Path, small_disk: SmallDisk) -> None:
    disk = small_disk(256)
    (clone / "big").write_bytes(os.urandom(600_000))
    for number in range(300):  # each makes tar say a line
        (clone / f"file-{number}").write_bytes(b"x" * 5000)
    commit(clone)
    with pytest.raises(UserError, match="disk or your quota is full"):
        upload(connection, find_source(clone), str(disk / "code"))
    assert [*disk.iterdir()] == []
