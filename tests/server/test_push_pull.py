import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import SmallDisk
from tests.tiny import assert_refused, run_cli, snapshot, unchanged
from vivavoce.errors import UserError
from vivavoce.server.faults import ConnectionLost
from vivavoce.server.profile import Profile
from vivavoce.server.profiles import save_profile
from vivavoce.server.ssh import Connection
from vivavoce.server.transfer import moving, rsync
from vivavoce.server.transfer.moving import pull, push
from vivavoce.server.transfer.result import Options, Reporter
from vivavoce.server.transfer.selection import Selection

from .sshd import Sshd, needs_rsync

NASTY = (
    *("a b", "it's", 'a "quote"', "-n", "--delete", "#no comment", ";x", "$(touch owned)", "`x`", "a;b", "a\nb", "*"),
    *("[a]", "?", "é", "\\", "a\\'b", "~", "!x", "a:b", " ", "日本", ".hidden", os.fsdecode(b"not-\xff-utf8")),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: Profile) -> Path:
    """The folder where the user works, with a profile `lab`."""
    folder = tmp_path / "my work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    save_profile("lab", lab)
    return folder


@pytest.fixture
def there(sshd: Sshd, lab: Profile) -> Path:
    """The work folder on the server."""
    return sshd.home / lab.workdir


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "WAITS_S", (0.05, 0.1, 0.2))


@pytest.fixture(params=[pytest.param("rsync", marks=needs_rsync), "sftp"])
def program(request: pytest.FixtureRequest, sshd: Sshd) -> str:
    """Both ways of sending; sftp is taken where the server has no rsync."""
    if request.param == "sftp":
        sshd.without("rsync")
    return request.param


def write(folder: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or name.encode(errors="surrogateescape").hex())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


# --- there and back ---------------------------------------------------------------------------------------------


def test_any_name_goes_there_and_back(here: Path, there: Path, connection: Connection, program: str) -> None:
    write(here / "run s", *NASTY, *(f"in {name}/{name}" for name in ("-x", "it's", "a\n\nb", "$(y)")))
    (here / "run s" / "empty").touch()
    (here / "run s" / "a b").chmod(0o755)
    result = push(connection, ["run s"], Options())
    assert result.program == program
    assert contents(there / "run s") == contents(here / "run s")
    assert (there / "run s" / "a b").stat().st_mode & 0o100
    assert not list(there.rglob(".rsync-partial"))
    shutil.move(here / "run s", here / "kept")
    pull(connection, ["run s"], Options())
    assert contents(here / "run s") == contents(here / "kept")
    assert not list(here.rglob(".rsync-partial"))
    assert [path.name for path in there.iterdir()] == ["run s"]


def test_what_is_there_is_not_sent_again(here: Path, there: Path, connection: Connection, program: str) -> None:
    write(here, "conf/a.yaml", "conf/b.yaml", "src/c.py", "d.txt")
    first = push(connection, ["conf", "src", "d.txt"], Options()).to_dict()
    assert (first["files"], first["sent"], first["attempts"]) == (4, 4, 1)
    assert [place["to"] for place in first["places"]] == ["ada's work/conf", "ada's work", "ada's work/src"]
    with unchanged(there):
        assert push(connection, ["conf", "src", "d.txt"], Options()).to_dict()["sent"] == 0
    write(here, "conf/a.yaml", text="changed")
    again = push(connection, ["conf"], Options()).to_dict()
    assert (again["sent"], again["files"]) == (1, 2)
    assert contents(there / "conf") == contents(here / "conf")


def test_single_files_come_back(here: Path, there: Path, connection: Connection, program: str) -> None:
    write(there, "runs/first/log", "runs/first/weights", "runs/first/other")
    result = pull(connection, ["runs/first/log", "runs/first/weights"], Options())
    assert sorted(contents(here)) == ["runs/first/log", "runs/first/weights"]
    assert result.to_dict()["sent"] == 2
    pull(connection, [str(there / "runs" / "first" / "other")], Options(to="elsewhere"))
    assert sorted(contents(here / "elsewhere")) == ["other"]


def test_data_folder_goes_to_its_place_behind_a_link(here: Path, there: Path, sshd: Sshd, lab: Profile) -> None:
    lab = lab.model_copy(update={"data": {"recordings": "big disk/ada"}})
    connection = Connection(lab, ask=False)
    write(here, "recordings/x/a.wav", "code.py")
    push(connection, ["."], Options())
    assert sorted(contents(sshd.home / "big disk")) == ["ada/x/a.wav"]
    assert (there / "recordings").is_symlink()
    assert (there / "recordings" / "x" / "a.wav").is_file()
    assert (there / "code.py").is_file()
    shutil.rmtree(here / "recordings")
    pull(connection, ["."], Options())
    assert sorted(contents(here)) == ["code.py", "recordings/x/a.wav"]
    (there / "recordings").unlink()
    write(there, "recordings/old.wav")
    write(here, "recordings/x/b.wav")
    with pytest.raises(UserError, match="holds files, and the profile has this folder at big disk/ada"):
        push(connection, ["recordings"], Options())
    assert contents(there / "recordings").keys() == {"old.wav"}


@needs_rsync
def test_links_are_sent_as_links_and_never_followed(here: Path, there: Path, connection: Connection) -> None:
    write(here.parent, "secret/key")
    write(here, "top/a")
    (here / "top" / "out").symlink_to(here.parent / "secret")
    (here / "door").symlink_to(here / "top")  # the folder that is named is followed
    result = push(connection, ["door"], Options())
    assert sorted(contents(there)) == ["door/a"]
    assert (there / "door" / "out").readlink() == here.parent / "secret"
    assert result.to_dict()["places"][0]["links"] == ["out"]
    assert push(connection, ["door"], Options()).to_dict()["places"][0]["links"] == []


def test_links_stay_behind_by_sftp_and_are_named(here: Path, there: Path, sshd: Sshd, connection: Connection) -> None:
    sshd.without("rsync")
    write(here, "top/a")
    (here / "top" / "out").symlink_to("/etc")
    said: list[str] = []
    result = push(connection, ["top"], Options(), Reporter(say=said.append))
    assert [line for line in said if "1 symbolic links behind ('out')" in line]
    assert [line for line in said if "sftp is used" in line]
    assert sorted(p.name for p in (there / "top").iterdir()) == ["a"]
    assert result.to_dict()["places"][0]["links_left"] == ["out"]


# --- what is kept -------------------------------------------------------------------------------------------------


def test_newer_files_stay_unless_told(here: Path, there: Path, connection: Connection, program: str) -> None:
    write(here, "c/a", "c/b", text="mine")
    write(there, "c/a", text="theirs is newer")
    age(here / "c" / "a", 60)
    said: list[str] = []
    result = push(connection, ["c"], Options(), Reporter(say=said.append))
    assert (there / "c" / "a").read_text() == "theirs is newer"
    assert (there / "c" / "b").read_text() == "mine"
    assert result.to_dict()["places"][0]["newer"] == ["a"]
    assert any("1 files are newer" in line and "'a'" in line and "--overwrite" in line for line in said)
    push(connection, ["c"], Options(overwrite=True))
    assert (there / "c" / "a").read_text() == "mine"


def test_only_delete_removes_and_only_what_was_chosen(here: Path, there: Path, connection: Connection) -> None:
    write(here, "c/a.wav")
    write(there, "c/old/b.wav", "c/note.txt", "c/.git/config", "other.wav")
    push(connection, ["c"], Options())
    assert len(contents(there)) == 5
    dry = push(connection, ["c"], Options(delete=True, dry_run=True))
    assert dry.to_dict()["places"][0]["deleted"] == ["note.txt", "old/b.wav"]
    assert len(contents(there)) == 5
    push(connection, ["c"], Options(Selection(include=("*.wav",)), delete=True))
    assert sorted(contents(there)) == ["c/.git/config", "c/a.wav", "c/note.txt", "other.wav"]
    pull(connection, ["c"], Options())
    write(here, "c/mine")
    pull(connection, ["c"], Options(delete=True))
    assert sorted(contents(here)) == ["c/a.wav", "c/note.txt"]


def test_delete_by_an_empty_folder_is_refused(here: Path, there: Path, connection: Connection) -> None:
    (here / "c").mkdir()
    write(there, "c/a")
    with unchanged(there), pytest.raises(UserError, match="holds no file, and --delete would remove all"):
        push(connection, ["c"], Options(delete=True))


def test_some_of_a_folder_and_nothing_in_a_dry_run(here: Path, there: Path, connection: Connection) -> None:
    write(here, *(f"c/{number:02d}.wav" for number in range(20)), "c/x.txt")
    dry = push(connection, ["c"], Options(Selection(include=("*.wav",), first=3), dry_run=True)).to_dict()
    assert dry["places"][0]["names"] == ["00.wav", "01.wav", "02.wav"]
    assert not there.exists()
    push(connection, ["c"], Options(Selection(include=("*.wav",), random=5, seed=1)))
    drawn = sorted(contents(there / "c"))
    assert len(drawn) == 5
    push(connection, ["c"], Options(Selection(include=("*.wav",), random=5, seed=1)))
    assert sorted(contents(there / "c")) == drawn


@pytest.mark.parametrize("others", [3, rsync.MOST_RULES + 1])
def test_only_what_was_chosen_goes_however_much_there_is(
    here: Path, there: Path, connection: Connection, others: int
) -> None:
    write(here, "c/#yes", "c/sub/;yes", *(f"c/{number}.no" for number in range(others)), "c/sub/[no]", "c/.venv/bin/no")
    push(connection, ["c"], Options(Selection(include=("*yes",))))
    assert sorted(contents(there)) == ["c/#yes", "c/sub/;yes"]


def test_folder_there_that_is_a_link_is_not_written_through(here: Path, there: Path, connection: Connection) -> None:
    write(here, "c/sub/a")
    write(there.parent, "elsewhere/keep")
    (there / "c").mkdir(parents=True)
    (there / "c" / "sub").symlink_to(there.parent / "elsewhere")
    with unchanged(there.parent), pytest.raises(UserError, match="'sub' is a link"):
        push(connection, ["c"], Options())


# --- proof --------------------------------------------------------------------------------------------------------


def test_checksum_finds_and_mends_what_size_and_time_hide(here: Path, there: Path, connection: Connection) -> None:
    write(here, "c/a", "c/b", text="true")
    push(connection, ["c"], Options())
    state = (there / "c" / "a").stat()
    (there / "c" / "a").write_text("lies")
    os.utime(there / "c" / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert push(connection, ["c"], Options()).to_dict()["sent"] == 0
    result = push(connection, ["c"], Options(checksum=True)).to_dict()
    assert result["sent"] == 1
    assert result["compared"] >= 2
    assert (there / "c" / "a").read_text() == "true"


@needs_rsync
@pytest.mark.parametrize("change", ["contents", "size", "gone"])
def test_file_changed_behind_our_back_is_found(
    here: Path, there: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    real = rsync.send

    def meddled(*arguments: object) -> int:
        sent = real(*arguments)  # pyright: ignore[reportArgumentType]
        path = there / "c" / "b"
        state = path.stat()
        path.unlink() if change == "gone" else path.write_text("lies" if change == "contents" else "longer lies")
        if change != "gone":
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        return sent

    monkeypatch.setattr(rsync, "send", meddled)
    write(here, "c/a", "c/b", text="true")
    with pytest.raises(UserError, match=r"1 files are not the same on both sides.*'b'.*run the same command again"):
        push(connection, ["c"], Options())


# --- faults -------------------------------------------------------------------------------------------------------


def big_file(folder: Path, size: int = 3_000_000) -> bytes:
    """A file that no program can send shorter."""
    data = random.Random(0).randbytes(size)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "big").write_bytes(data)
    return data


def cut_once(sshd: Sshd, at: int) -> Reporter:
    """Cuts the connection when so many bytes have gone, once."""
    gone = [0]

    def advance(number: int) -> None:
        before, gone[0] = gone[0], gone[0] + number
        if before < at <= gone[0]:
            sshd.cut()

    return Reporter(advance=advance)


@needs_rsync
@pytest.mark.parametrize("to_server", [True, False])
def test_cut_in_the_middle_goes_on_from_there(
    here: Path, there: Path, sshd: Sshd, connection: Connection, to_server: bool
) -> None:
    source, target = (here, there) if to_server else (there, here)
    data = big_file(source / "c")
    move = push if to_server else pull
    reporter = cut_once(sshd, 1_000_000)
    result = move(connection, ["c"], Options(limit_kib_s=2000), reporter)
    assert result.attempts == 2
    assert (target / "c" / "big").read_bytes() == data
    assert result.line_bytes < 0.9 * len(data)
    assert sorted(contents(target)) == ["c/big"]


def test_cut_by_sftp_goes_on_from_there(here: Path, there: Path, sshd: Sshd, connection: Connection) -> None:
    sshd.without("rsync")
    data = big_file(here / "c")

    sizes: list[int] = []

    def cut_when_begun() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (there / "c" / "big").exists():
            before = sizes[-1] if sizes else 0
            sizes.extend(p.stat().st_size for p in there.rglob(".rsync-partial/*"))
            if sizes and before <= 500_000 < sizes[-1]:
                sshd.cut()
            time.sleep(0.01)

    cutter = threading.Thread(target=cut_when_begun)
    cutter.start()
    result = push(connection, ["c"], Options(limit_kib_s=2000))
    cutter.join()
    assert result.attempts == 2
    assert sizes == sorted(sizes)  # it was not begun anew
    assert (there / "c" / "big").read_bytes() == data
    assert result.line_bytes < 0.9 * len(data)
    assert sorted(contents(there)) == ["c/big"]


def test_server_that_stays_away_ends_in_a_sentence_and_a_later_push_goes_on(
    here: Path, there: Path, sshd: Sshd, connection: Connection
) -> None:
    data = big_file(here / "c")
    gone = [0]

    def advance(number: int) -> None:
        before, gone[0] = gone[0], gone[0] + number
        if before < 1_000_000 <= gone[0]:
            sshd.stop()

    with pytest.raises(UserError):
        push(connection, ["c"], Options(limit_kib_s=2000), Reporter(advance=advance))
    assert not (there / "c" / "big").exists()
    sshd.start()
    result = push(connection, ["c"], Options())
    assert (there / "c" / "big").read_bytes() == data
    assert result.line_bytes < len(data)


def test_disk_too_small_is_refused_before_anything_is_sent(
    here: Path, there: Path, lab: Profile, small_disk: SmallDisk
) -> None:
    disk = small_disk(1000)
    big_file(here / "c")
    with unchanged(disk):
        save_profile("lab", lab.model_copy(update={"workdir": str(disk)}))
        assert_refused(run_cli("server", "push", "lab", "c"), "1.0 MB free", "3.0 MB", "--first")


def test_disk_that_fills_in_the_middle(
    here: Path, lab: Profile, sshd: Sshd, small_disk: SmallDisk, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = small_disk(1000)
    lab = lab.model_copy(update={"workdir": str(disk)})
    write(here, "c/a")
    data = big_file(here / "c")
    monkeypatch.setattr(moving, "check_room", lambda *_: None)
    connection = Connection(lab, ask=False)
    with pytest.raises(UserError, match=r"full.*run the same command again"):
        push(connection, ["c"], Options())
    assert not (disk / "c" / "big").exists()
    assert sum(path.is_file() for path in (disk / "c").glob("[!.]*")) <= 1
    small_disk.resize(8000)
    push(connection, ["c"], Options())
    assert (disk / "c" / "big").read_bytes() == data


@needs_rsync
def test_permission_is_named(here: Path, there: Path, sshd: Sshd, connection: Connection) -> None:
    write(here, "c/a")
    sshd.program(
        "rsync", "#!/bin/sh\necho 'rsync: [receiver] mkstemp \"/x/.a.Q\" failed: Permission denied (13)' >&2\nexit 23\n"
    )
    with pytest.raises(
        UserError, match=r"Not all could be read or written \(.*Permission denied\); mend the permissions"
    ):
        push(connection, ["c"], Options())


@needs_rsync
@pytest.mark.parametrize("code", [12, 255])
def test_rsync_that_always_ends_is_given_up(here: Path, sshd: Sshd, connection: Connection, code: int) -> None:
    write(here, "c/a")
    sshd.program("rsync", f"#!/bin/sh\nexit {code}\n")
    said: list[str] = []
    with pytest.raises(ConnectionLost, match="run the same command again"):
        push(connection, ["c"], Options(), Reporter(say=said.append))
    assert len(said) == 3


# --- the command line ---------------------------------------------------------------------------------------------


def test_commands_print_one_document_or_a_table(here: Path, there: Path) -> None:
    write(here, "c/a", "c/b")
    dry = run_cli("server", "push", "lab", "c", "--dry-run")
    assert dry.code == 0
    assert "Would send: 'a'" in dry.out
    result = run_cli("server", "push", "lab", "c", "--json")
    assert result.code == 0, result.err
    assert result.json["server"] == "lab"
    assert (result.json["sent"], result.json["bytes"]) == (2, len(b"c/a".hex()) * 2)
    shutil.rmtree(here / "c")
    shown = run_cli("server", "pull", "lab", "c")
    assert "2 of 2 files sent" in shown.out
    assert contents(here / "c") == contents(there / "c")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("push", "lab", "nowhere"), ("nowhere is no file or folder here",)),
        (("push", "lab", "/etc"), ("--to FOLDER",)),
        (("pull", "lab", "nowhere"), ("nowhere is not there", "check the spelling")),
        (("push", "lab", ".", "--first", 1, "--random", 1), ("--first and --random",)),
        (("push", "lab", ".", "--first", 1, "--delete"), ("--delete would remove",)),
        (("push", "lba", "."), ("did you mean lab",)),
    ],
)
def test_misuse_is_refused_and_changes_nothing(here: Path, sshd: Sshd, words: tuple, parts: tuple[str, ...]) -> None:
    write(here, "mine")
    before = snapshot(here), snapshot(sshd.home)
    assert_refused(run_cli("server", *words), *parts)
    assert (snapshot(here), snapshot(sshd.home)) == before
