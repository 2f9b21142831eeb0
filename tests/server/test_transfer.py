import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.server.profile import Profile
from vivavoce.server.remote import files
from vivavoce.server.remote.answer import Refused
from vivavoce.server.transfer.places import Place, linked, pull_places, push_places
from vivavoce.server.transfer.plan import File, Listing, Plan, Space, check_room, compare, size
from vivavoce.server.transfer.rsync import MOST_RULES, leave_out
from vivavoce.server.transfer.selection import Selection

SECOND = 1_000_000_000
ROOM = Space(0, 1, 10**12, 4096, None, True, "/")
NAMES = st.sets(st.sampled_from([f"p{n:02d}/{w}.wav" for n in range(8) for w in "abc"]), min_size=1)


def listing(found: dict[str, File], links: dict[str, str] | None = None) -> Listing:
    return Listing("folder", found, links or {}, [], ROOM)


def place(tmp_path: Path = Path("here")) -> Place:
    return Place(tmp_path, "there")


# --- selection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.wav", "a/b.wav", True),
        ("*.wav", "a.wav/b.txt", True),  # a name on the way
        ("*.wav", "b.txt", False),
        ("runs/*", "runs/first/log", True),
        ("runs/first/", "runs/first/log", True),
        ("./runs", "runs/first/log", True),
        ("runs", "old-runs/log", False),
        ("p0[12]", "p01/a", True),
        ("[", "[", True),
    ],
)
def test_pattern_fits_a_path_a_folder_or_a_name(pattern: str, name: str, fits: bool) -> None:
    assert Selection(include=(pattern,)).fits(name) is fits
    assert Selection(exclude=(pattern,)).fits(name) is not fits


def test_what_belongs_to_one_machine_stays_there_unless_named() -> None:
    names = [
        ".git/config",
        "a/__pycache__/b.pyc",
        ".venv/bin/python",
        ".vivavoce/jobs/1/log",
        "a/.tmp-1f-b.wav",
        "a.py",
    ]
    assert Selection().choose(names) == ["a.py"]
    assert Selection(include=(".git",)).choose(names) == [".git/config"]
    assert ".git" in Selection().prune
    assert ".git" not in Selection(include=(".git/",)).prune
    assert Selection(include=(files.PARTIAL,)).choose([f"{files.PARTIAL}/a"]) == []


@given(names=NAMES, count=st.integers(1, 30), seed=st.integers(0, 5))
def test_some_of_a_folder(names: set[str], count: int, seed: int) -> None:
    first = Selection(first=count).choose(names)
    drawn = Selection(random=count, seed=seed).choose(sorted(names, reverse=True))
    assert first == sorted(names)[:count]
    assert len(drawn) == min(count, len(names))
    assert drawn == sorted(set(drawn) & names)
    assert drawn == Selection(random=count, seed=seed).choose(names)


def test_another_seed_draws_others() -> None:
    names = [str(number) for number in range(100)]
    assert len({tuple(Selection(random=5, seed=seed).choose(names)) for seed in range(5)}) == 5


# --- plan -----------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1))
def test_each_file_is_sent_same_or_newer(there: dict[str, tuple[int, int]]) -> None:
    sender = listing({name: File(1, SECOND) for name in "abcd"})
    receiver = listing({name: File(big, when * SECOND) for name, (big, when) in there.items()})
    plan = compare(place(), sender, receiver, Selection())
    for name in "abcd":
        other = receiver.files.get(name)
        newer = other is not None and other.mtime_ns > SECOND
        assert (name in plan.newer) == newer
        assert (name in plan.send) == (not newer and other != File(1, SECOND))
    assert plan.extra == sorted(set(there) & {"e", "f"})
    again = compare(place(), sender, receiver, Selection(), overwrite=True)
    assert again.send.keys() == {name for name in "abcd" if receiver.files.get(name) != File(1, SECOND)}
    assert not again.newer


def test_parts_of_a_second_are_not_a_change() -> None:
    sender, receiver = listing({"a": File(1, SECOND)}), listing({"a": File(1, SECOND + 999_999_999)})
    assert not compare(place(), sender, receiver, Selection()).send
    assert compare(place(), sender, receiver, Selection(), differing=["a"]).send


def test_excluded_files_are_never_extra() -> None:
    receiver = listing({"keep.log": File(1, 1), "old.wav": File(1, 1), ".git/config": File(1, 1)})
    plan = compare(place(), listing({"a": File(1, 1)}), receiver, Selection(exclude=("*.log",)))
    assert plan.extra == ["old.wav"]


@pytest.mark.parametrize(
    ("sent", "links", "present", "there"),
    [
        ({"a/b": File(1, 1)}, {}, {}, {"a": "/etc"}),
        ({"a/b": File(1, 1)}, {}, {"a": File(1, 1)}, {}),
        ({"a": File(1, 1)}, {}, {"a/b": File(1, 1)}, {}),
        ({"a": File(1, 1)}, {}, {}, {"a": "/etc/passwd"}),
        ({}, {"a": "b"}, {"a": File(1, 1)}, {}),
        ({}, {"a": "b"}, {"a/b": File(1, 1)}, {}),
    ],
)
def test_nothing_goes_through_a_link_or_in_place_of_another_kind(
    sent: dict[str, File], links: dict[str, str], present: dict[str, File], there: dict[str, str]
) -> None:
    with pytest.raises(UserError, match="'a' is a link, a file or a folder on one side and something else"):
        compare(place(), listing(sent, links), listing(present, there), Selection())


def test_room_is_counted_in_blocks_for_each_disk_and_for_all_places() -> None:
    plan = Plan({}, {f"{n}": File(1, 1) for n in range(10)})

    def space(free: int, device: int = 1, left: int | None = None) -> Space:
        return Space(0, device, free, 4096, left, True, "/")

    check_room([plan], [space(10 * 4096)], ["there"])
    check_room([plan, plan], [space(10 * 4096, 1), space(10 * 4096, 2)], ["a", "b"])
    with pytest.raises(UserError, match=r"there has 36.9 kB free .* takes 41\.0 kB"):
        check_room([plan], [space(9 * 4096)], ["there"])
    with pytest.raises(UserError, match="b has"):
        check_room([plan, plan], [space(19 * 4096)] * 2, ["a", "b"])
    with pytest.raises(UserError, match="room for 9 more files and 10 are to go there"):
        check_room([plan], [space(10**9, left=9)], ["there"])
    with pytest.raises(UserError, match="may not be written"):
        check_room([plan], [Space(0, 1, 10**9, 4096, None, False, "/there")], ["there"])


def test_file_that_is_replaced_needs_room_for_both() -> None:
    plan = Plan({}, {"a": File(8192, 1)}, freed=8192)
    check_room([plan], [Space(0, 1, 8192, 4096, None, True, "/")], ["there"])
    with pytest.raises(UserError, match="takes"):
        check_room([plan], [Space(0, 1, 8191, 4096, None, True, "/")], ["there"])


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e9, "2.5 GB")])
def test_sizes_for_people(number: float, text: str) -> None:
    assert size(number) == text


def test_rules_leave_out_names_and_are_given_up_where_rsync_would_read_them_otherwise() -> None:
    assert leave_out(["a b/c", "-x"], [".git"], ["data"]) == [".git/", "/a b/c", "/-x", "/data"]
    assert leave_out([], [], []) == []
    for name in ("*", "a?", "[x]", "back\\slash"):
        assert leave_out([name], [], []) is None
    assert leave_out([str(number) for number in range(MOST_RULES + 1)], [], []) is None


# --- places ---------------------------------------------------------------------------------------------------------

LAB = Profile(host="lab", workdir="work", data={"recordings": "/data/ada", "in/deep": "scratch"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("recordings/a", "runs/first", "in/deep"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a.yaml", "b.yaml", "recordings/x.wav"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ends(places: list[Place]) -> dict[str, str]:
    return {str(place.here): place.there for place in places}


def test_paths_keep_their_place_and_data_has_its_own(folder: Path) -> None:
    assert ends(push_places(LAB, ["runs/first"], None)) == {"runs/first": "work/runs/first"}
    assert ends(push_places(LAB, [f"{folder}/runs/", "runs/first"], None)) == {"runs": "work/runs"}
    assert ends(push_places(LAB, ["recordings/a"], None)) == {"recordings/a": "/data/ada/a"}
    everything = push_places(LAB, ["."], None)
    assert ends(everything) == {".": "work", "recordings": "/data/ada", "in/deep": "scratch"}
    assert [name for name in ("recordings/x.wav", "in/deep", "in/a", "recordings2") if everything[0].holds(name)] == [
        "in/a",
        "recordings2",
    ]
    assert linked(LAB, everything) == {"work/recordings": "/data/ada", "work/in/deep": "scratch"}


def test_files_of_a_folder_go_together(folder: Path) -> None:
    (found,) = push_places(LAB, ["b.yaml", "a.yaml"], None)
    assert (str(found.here), found.there, found.names) == (".", "work", ("a.yaml", "b.yaml"))
    (data,) = push_places(LAB, ["recordings/x.wav"], None)
    assert (data.there, data.names) == ("/data/ada", ("x.wav",))


def test_to_takes_each_path_by_its_name(folder: Path) -> None:
    assert ends(push_places(LAB, ["runs/first"], "old runs")) == {"runs/first": "work/old runs/first"}
    assert ends(push_places(LAB, ["runs/first"], "/scratch")) == {"runs/first": "/scratch/first"}
    assert ends(push_places(LAB, ["runs"], "recordings")) == {"runs": "/data/ada/runs"}
    assert ends(push_places(LAB, ["runs/.."], "code"))["."] == "work/code"
    assert ends(pull_places(LAB, ["runs/first", "/scratch/x"], "from lab")) == {
        "from lab/first": "work/runs/first",
        "from lab/x": "/scratch/x",
    }
    assert ends(pull_places(LAB, ["recordings/a"], None)) == {"recordings/a": "/data/ada/a"}


@pytest.mark.parametrize("path", ["..", "../x", "/etc"])
def test_path_outside_needs_to(folder: Path, path: str) -> None:
    Path("../x").touch()
    with pytest.raises(UserError, match="--to FOLDER"):
        push_places(LAB, [path], None)
    with pytest.raises(UserError, match="--to FOLDER"):
        pull_places(LAB, [path], None)


def test_path_that_is_not_here(folder: Path) -> None:
    with pytest.raises(UserError, match="nowhere is no file or folder here"):
        push_places(LAB, ["nowhere"], None)
    with pytest.raises(UserError, match="empty path"):
        push_places(LAB, [""], None)
    with pytest.raises(UserError, match="must be a folder on the server"):
        push_places(LAB, ["runs"], "~ben/x")


# --- what runs on either side --------------------------------------------------------------------------------------


def listed(path: object, **more: object) -> dict:
    return files.main({"do": "list", "roots": [{"path": str(path), **more}], "prune": [".git"]})["roots"][0]


def test_listing_does_not_leave_the_folder(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / ".git").mkdir()
    (tmp_path / "outside").mkdir()
    for name in ("top/a", "top/sub/b", "top/.git/config", "outside/secret"):
        (tmp_path / name).write_text(name)
    (top / "out").symlink_to(tmp_path / "outside")
    os.mkfifo(top / "pipe")
    (tmp_path / "link").symlink_to(top)
    found = listed(tmp_path / "link", digest=["a", "gone", "out/secret", "sub/b"])
    assert sorted(name for name, *_ in found["files"]) == ["a", "sub/b"]
    assert found["links"] == [["out", str(tmp_path / "outside")]]
    assert [bool(digest) for digest in found["digests"]] == [True, False, True, True]
    assert listed(top / "pipe")["kind"] == "other"
    assert listed(top / "x" / "y")["kind"] == "missing"
    assert listed(top / "x" / "y")["space"]["missing"] == 2
    assert listed(top / "a")["files"][0][:2] == ["a", 5]


def test_room_is_told_where_the_system_knows_no_inodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, which files are pulled to."""
    known = listed(tmp_path)["space"]
    monkeypatch.delattr("os.statvfs")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=len(path)))
    found = listed(tmp_path / "new")["space"]
    assert found.keys() == known.keys()
    assert (found["free"], found["free_files"], found["missing"]) == (len(str(tmp_path)), None, 1)


@pytest.mark.parametrize("count", [1, 31, 32, 200])
def test_digests_are_in_the_order_of_the_names(tmp_path: Path, count: int) -> None:
    names = [str(number) for number in range(count)]
    for name in names:
        (tmp_path / name).write_text(name)
    together = listed(tmp_path, digest=names)["digests"]
    assert together == [listed(tmp_path, digest=[name])["digests"][0] for name in names]
    assert len(set(together)) == count


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "out/file", "a/../../outside", "", ".", "a//b"])
def test_nothing_is_deleted_outside_the_folder(tmp_path: Path, name: str) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").mkdir()
    (top / "mine").touch()
    (tmp_path / "outside").touch()
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "file").touch()
    (top / "out").symlink_to(tmp_path / "else")
    with pytest.raises(Refused, match="leads out of"):
        files.main({"do": "delete", "root": str(top), "files": ["mine", name]})
    assert (top / "mine").exists()
    assert (tmp_path / "outside").exists()
    assert (tmp_path / "else" / "file").exists()


def test_deleting_takes_the_folders_it_leaves_empty(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    for name in ("a/b/x", "c/y", "c/z"):
        (tmp_path / name).touch()
    (tmp_path / "c" / "link").symlink_to("/etc")
    assert files.main({"do": "delete", "root": str(tmp_path), "files": ["a/b/x", "c/y", "c/link"]}) == 3
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c", "z"]


def test_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(files.os, "scandir", forbidden)
    with pytest.raises(Refused, match=rf"{tmp_path} cannot be used \(Permission denied\)"):
        listed(tmp_path)
