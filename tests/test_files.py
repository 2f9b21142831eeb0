import errno
import os
import subprocess

import numpy as np
import pytest

from vivavoce.audio import write_wav
from vivavoce.errors import UserError
from vivavoce.files import atomic_path, write_json, write_text


def fail_after_writing(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("half")
    raise ZeroDivisionError


def test_the_target_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        fail_after_writing(temporary)
    assert list((tmp_path / "new").iterdir()) == []
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.suffix == ".txt"
    assert target.read_text() == "whole"
    assert list((tmp_path / "new").iterdir()) == [target]


def test_a_failed_folder_is_removed(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "run") as temporary:
        fail_after_writing(temporary / "part")
    assert list(tmp_path.iterdir()) == []


def test_text_and_json(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": [\n    1,\n    2.5\n  ]\n}\n'


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_at_the_rename(tmp_path, monkeypatch, code):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def full(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="disk is full"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_library_that_names_a_full_disk_only_in_words(tmp_path):
    with pytest.raises(UserError, match="disk is full"), atomic_path(tmp_path / "a"):
        raise RuntimeError("write failed: No space left on device")


def test_a_target_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(OSError, match="odd"), atomic_path(tmp_path / "a"):
        raise OSError(errno.EIO, "odd")


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 64 kB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small tmpfs cannot be mounted here (needs root); the other tests use a stand-in")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk(tiny_disk):
    write_wav(tiny_disk / "a.wav", np.zeros(1000), 16_000)
    before = (tiny_disk / "a.wav").read_bytes()
    with pytest.raises(UserError, match="disk is full"):
        write_wav(tiny_disk / "a.wav", np.zeros(1_000_000), 16_000)
    with pytest.raises(UserError, match="disk is full"):
        write_text(tiny_disk / "a.txt", "x" * 1_000_000)
    assert list(tiny_disk.iterdir()) == [tiny_disk / "a.wav"]
    assert (tiny_disk / "a.wav").read_bytes() == before
