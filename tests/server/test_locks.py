import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vivavoce.server.remote import devices, locks
from vivavoce.server.remote.answer import Refused

UUID = "GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc30"
ADA = {"user": "ada", "job": "1130-142501-train", "since": "30 Nov 14:25"}
NOBODY = 65534
HOLD = (
    "import os, sys; sys.path.insert(0, sys.argv[1]); from vivavoce.server.remote import locks\n"
    "os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\n"
    "held = locks.take(sys.argv[3], {'user': 'bob'}); print(held is not None, locks.holder(sys.argv[3]), flush=True)\n"
    "sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "gpu locks"
    monkeypatch.setenv("VIVAVOCE_GPU_LOCKS", str(path))
    return path


def test_one_holds_a_lock_until_its_end_and_others_see_who(folder: Path) -> None:
    assert locks.holder(UUID) is None
    held = locks.take(UUID, ADA)
    assert held is not None
    assert locks.take(UUID, {"user": "bob"}) is None
    assert locks.holder(UUID) == ADA
    assert locks.take("MIG-other", ADA) is not None
    os.close(held)
    assert locks.holder(UUID) is None
    assert locks.take(UUID, {"user": "bob"}) is not None
    assert locks.holder(UUID) == {"user": "bob"}  # nothing is left of a longer text


def test_folder_and_locks_are_open_to_all_accounts(folder: Path) -> None:
    mask = os.umask(0o077)
    try:
        locks.take(UUID, ADA)
    finally:
        assert os.umask(mask) == 0o077
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o666]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another account")
@pytest.mark.parametrize("first", ["mine", "theirs"])
def test_two_accounts_share_the_locks(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a folder that the other account can reach.
    folder = Path("/tmp") / f"vv-locks-{os.getpid()}-{first}"
    monkeypatch.setenv("VIVAVOCE_GPU_LOCKS", str(folder))
    source = Path(locks.__file__).parents[3]
    command = [sys.executable, "-c", HOLD, str(source), str(NOBODY), UUID]
    try:
        held = locks.take(UUID, ADA) if first == "mine" else None
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            said = other.stdout.readline().strip()
            if first == "mine":
                assert said == f"False {ADA}"
                assert held is not None
                os.close(held)
            else:
                assert said.startswith("True")
                assert locks.take(UUID, ADA) is None
                assert locks.holder(UUID) == {"user": "bob"}
                other.kill()
                other.wait()
                assert locks.take(UUID, ADA) is not None
            other.kill()
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_another_put_there_is_not_opened(folder: Path, tmp_path: Path, kind: str) -> None:
    place = Path(locks.folder()) / f"{UUID}.lock"
    target = tmp_path / "precious"
    target.write_text("kept")
    if kind == "link":
        place.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(Refused, match=r"gpu locks/GPU-.*\.lock, a lock of a GPU, cannot be opened.*\.$"):
        locks.take(UUID, ADA)
    assert target.read_text() == "kept"


def test_folder_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.symlink_to(tmp_path)
    with pytest.raises(Refused, match="is no folder"):
        locks.take(UUID, ADA)


def test_name_leads_nowhere_else(folder: Path, tmp_path: Path) -> None:
    assert locks.take("../../x/y", ADA) is not None
    assert [path.name for path in folder.iterdir()] == [".._.._x_y.lock"]


def test_what_a_lock_says_need_not_be_readable(folder: Path) -> None:
    held = locks.take(UUID, ADA)
    assert held is not None
    for text in ("", "[1]", "{", "\x00"):
        (folder / f"{UUID}.lock").write_text(text)
        assert locks.holder(UUID) == {}


def test_choice_waits_for_its_turn_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "CHOOSING_S", 0.2)
    with (
        locks.choosing(ADA),
        pytest.raises(Refused, match=r"ada is choosing a GPU for more than 0 s"),
        locks.choosing(ADA),
    ):
        pass
    monkeypatch.setattr(locks, "CHOOSING_S", 30)
    first = locks.choosing(ADA)
    first.__enter__()
    threading.Timer(0.1, first.__exit__, (None, None, None)).start()
    with locks.choosing({"user": "bob"}):
        assert locks.holder("choosing") == {"user": "bob"}


def test_devices_are_held_and_named_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = json.loads(json.dumps([gpu(0), gpu(1)]))
    monkeypatch.setattr(devices, "read", lambda: gpus)
    wish = {"count": 1, "wanted": None, "share": False, "required": True}
    first = devices.reserve(wish, ADA)
    second = devices.reserve(wish, {**ADA, "user": "bob"})
    assert [one["index"] for one in (first.devices or []) + (second.devices or [])] == [0, 1]
    with pytest.raises(Refused, match=r"Reserved: GPU 0 for ada's job .*; GPU 1 for bob's job 1130-142501-train since"):
        devices.reserve(wish, ADA)
    shared = devices.reserve({**wish, "share": True}, ADA)
    assert (len(shared.devices or []), shared.held) == (1, [])
    for fd in (*first.held, *second.held):
        os.close(fd)
    assert devices.reserve({**wish, "count": 2}, ADA).devices is not None
    assert devices.reserve(None, ADA) == ([], [], "")


def gpu(index: int) -> dict:
    facts = {"memory_total_mib": 40960, "memory_used_mib": 0, "utilisation": 0.0, "fault": None}
    return {"index": index, "uuid": f"GPU-{index}", "name": "A100", "mig": [], "processes": [], **facts}
