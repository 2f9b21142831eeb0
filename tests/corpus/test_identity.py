import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.identity import RealPaths, content_keys


@given(st.lists(st.sampled_from([b"", b"aa", b"ab", b"abc"]), max_size=8))
def test_files_share_a_key_where_their_bytes_agree(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("content")
    paths = []
    for number, content in enumerate(contents):
        paths.append(str(folder / f"{number}.wav"))
        Path(paths[-1]).write_bytes(content)
    keys = content_keys([*paths, str(folder / "missing.wav")])
    for path, content in zip(paths, contents, strict=True):
        # An empty file says nothing about another.
        assert (path in keys) == (bool(content) and contents.count(content) > 1)
        for other, its in zip(paths, contents, strict=True):
            if path in keys and other in keys:
                assert (keys[path] == keys[other]) == (content == its)


def test_files_that_differ_at_one_end_only_are_told_apart(tmp_path):
    body = bytes(200_000)
    for name, content in (("a", b"1" + body), ("b", b"2" + body), ("c", body + b"1"), ("d", b"1" + body)):
        (tmp_path / name).write_bytes(content)
    keys = content_keys(str(tmp_path / name) for name in "abcd")
    assert keys.keys() == {str(tmp_path / "a"), str(tmp_path / "d")}


def test_only_files_of_two_sides_are_compared(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_bytes(b"same" if name in "abc" else b"more than that")
    paths = [str(tmp_path / name) for name in "abcd"]
    assert content_keys(paths, dict(zip(paths, (0, 0, 0, 1), strict=True))) == {}
    assert content_keys(paths, dict(zip(paths, (0, 0, 1, 1), strict=True))).keys() == set(paths[:3])


def test_real_paths_follow_links_of_folders_and_of_files(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").symlink_to("here")
    (tmp_path / "here" / "a.wav").write_bytes(b"")
    (tmp_path / "here" / "b.wav").symlink_to("a.wav")
    real = RealPaths()
    wanted = os.path.realpath(tmp_path / "here" / "a.wav")
    for path in ("here/a.wav", "here/b.wav", "there/a.wav", "there/b.wav"):
        assert real(tmp_path / path) == wanted
    assert real(tmp_path / "here" / "none.wav") == str(Path(wanted).with_name("none.wav"))
