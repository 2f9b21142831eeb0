import csv
import io
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.errors import UserError
from vivavoce.evaluation.trials.files import _quoted, read_trials, write_trials
from vivavoce.evaluation.trials.table import TARGET, Trial, Trials


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_list_survives_its_file(tmp_path: Path) -> None:
    trials = [Trial(("a b.wav", "ü,2.wav"), "c.wav", TARGET), Trial(("a.wav",), "d.wav", "replay_stand")]
    write_trials(trials, tmp_path / "t.csv")
    assert list(read_trials(tmp_path / "t.csv")) == trials


def test_a_separator_inside_a_path_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="separator"):
        write_trials([Trial(("a;b.wav",), "c.wav", TARGET)], tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_known_paths_are_found_as_written_or_beside_the_list(tmp_path: Path) -> None:
    known = [tmp_path / "wav" / "a.wav", tmp_path / "wav" / "b.wav", "segment-7"]
    path = _write(tmp_path / "t.csv", "label,test,enrol,note", f"target,wav/b.wav,{known[0]};segment-7,x")
    assert list(read_trials(path, known)) == [Trial((str(known[0]), "segment-7"), str(known[1]), TARGET)]


@pytest.mark.parametrize(("lines", "words"), [
    (["enrol,test", "a,b"], "no column label"),
    ([""], "no column enrol and no column test"),
    (["enrol,test,label"], "holds no trial"),
    (["enrol,test,label", "a.wav,b.wav,friend"], "line 2: unknown label 'friend'"),
    (["enrol,test,label", "a.wav,b.wav,live"], "unknown label 'live'"),
    (["enrol,test,label", "a.wav,b.wav,target", " ; ,b.wav,target"], "line 3: the field enrol is empty"),
    (["enrol,test,label", "a.wav,,target"], "the field test is empty"),
    (["enrol,test,label", "a.wav,b.wav"], "the field label is empty"),
    (["enrol,test,label", "a.wav;b.wav,b.wav,target"], "part of its own enrolment"),
    (["enrol,test,label", "a.wav,../here/a.wav,target"], "part of its own enrolment"),
    (["enrol,test,label", "a.wav,c.wav,target"], "c.wav is not a recording"),
])  # fmt: skip
def test_a_wrong_list_is_one_clear_sentence(tmp_path: Path, lines: list[str], words: str) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    with pytest.raises(UserError, match=words):
        read_trials(_write(folder / "t.csv", *lines), known=[folder / "a.wav", folder / "b.wav"])


def test_a_missing_or_binary_list_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trial list"):
        read_trials(tmp_path / "none.csv")
    (tmp_path / "t.csv").write_bytes(b"RIFF\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="not a CSV text file"):
        read_trials(tmp_path / "t.csv")


# Fields as a file system may hold them: no separator of ours, and no space at the ends, which are no part of a field.
PATHS = st.text(string.ascii_letters + string.digits + ' ,"ü/._\n', min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)


@st.composite
def tables(draw: st.DrawFn) -> Trials:
    """Trials that say all they can, no pair twice and no test in its own enrolment."""
    enrolments = draw(
        st.lists(st.lists(PATHS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4, unique_by=frozenset)
    )
    taken = {name for members in enrolments for name in members}
    tests = draw(st.lists(PATHS.filter(lambda name: name not in taken), min_size=1, max_size=5, unique=True))
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, len(enrolments) - 1), st.integers(0, len(tests) - 1)), min_size=1, unique=True
        )
    )
    enrolment, test = zip(*pairs, strict=True)
    label = [draw(st.integers(0, 5)) for _ in pairs]
    drawn = [draw(st.integers(0, 3)) if code == 1 else 0 for code in label]
    speakers = draw(st.none() | st.just([f"s{number % 2}" for number in range(len(enrolments))]))
    test_speakers = draw(st.none() | st.just([f"s{number}" for number in range(len(tests))]))
    return Trials(enrolments, tests, enrolment, test, label, drawn, speakers, test_speakers)[:]


@settings(deadline=None)
@given(tables())
def test_csv_keeps_everything(tmp_path_factory: pytest.TempPathFactory, trials: Trials) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    assert write_trials(trials, path) == [path]
    found = read_trials(path)
    assert found == trials
    np.testing.assert_array_equal(found.drawn, trials.drawn)
    for column in ("speakers", "test_speakers"):
        assert getattr(found, column) is None or len(getattr(found, column)) == len(getattr(trials, column))
    assert _who(found) == _who(trials)


def _who(trials: Trials) -> list[tuple[str | None, str | None]]:
    enrolled = [None] * len(trials) if trials.speakers is None else [trials.speakers[i] for i in trials.enrolment]
    tested = [None] * len(trials) if trials.test_speakers is None else [trials.test_speakers[i] for i in trials.test]
    return list(zip(enrolled, tested, strict=True))


@given(field=PATHS)
def test_fields_are_quoted_as_the_standard_writer_does(field: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow((field, "x"))
    assert f"{_quoted(field)},x\r\n" == written.getvalue()


HEAD = "enrol,test,label,speaker,test_speaker,drawn"


@pytest.mark.parametrize(("lines", "words"), [
    (["enrol,test,label", "a,b,target", "", "a,b,target"], "line 4: this enrolment and test already stand on line 2"),
    (["enrol,test,label", "a;b,c,target", "b;a,c,target"], "line 3: this enrolment and test already stand on line 2"),
    (["enrol,test,label", '"a', 'x",b,friend', "a,b,target"], "line 3: unknown label 'friend'"),
    ([HEAD, "a,b,target,s,s,", "a,c,target,,s,"], "line 3: the field speaker is empty; fill it in, or leave"),
    ([HEAD, "a,b,target,s,s,", "a,c,target,t,s,"], "line 3: the speaker is t here, and s for the same .* line 2"),
    ([HEAD, "a,b,target,s,s,", "d,b,target,t,t,"], "line 3: the test_speaker is t here, and s for the same"),
    ([HEAD, "a,b,nontarget,s,t,closest"], "unknown way of drawing 'closest'; use random, same_sex, hard"),
])  # fmt: skip
def test_what_contradicts_itself_is_one_clear_sentence(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_trials(_write(tmp_path / "t.csv", *lines))


@pytest.mark.parametrize(("line", "words"), [
    ("a,r,target", "calls r target, and the manifest says replay_stand"),
    ("a,r,nontarget", "calls r nontarget, and the manifest says replay_stand"),
    ("a,r,tts", "calls r tts, and the manifest says replay_stand"),
    ("a,b,tts", "calls b tts, and the manifest says live"),
])  # fmt: skip
def test_the_manifest_must_agree(tmp_path: Path, line: str, words: str) -> None:
    kinds = {"a": "live", "b": "live", "r": "replay_stand"}
    good = _write(tmp_path / "good.csv", "enrol,test,label", "a,r,replay_stand", "a,b,target")
    assert read_trials(good, kinds, kinds).labels.tolist() == ["replay_stand", "target"]
    with pytest.raises(UserError, match=words):
        read_trials(_write(tmp_path / "t.csv", "enrol,test,label", line), kinds, kinds)
