import numpy as np
import pytest

from vivavoce.errors import UserError
from vivavoce.evaluation.scores import TrialScores, read_scores, write_scores
from vivavoce.evaluation.trials.table import Trials

TRIALS = Trials(
    [("a1", "a2"), ("b1",)],
    ["a3", "b2", "x"],
    [0, 0, 1, 1, 0],
    [0, 1, 1, 0, 2],
    [0, 1, 0, 1, 2],
    [0, 2, 0, 1, 0],
    ["a", "b"],
    ["a", "b", "a"],
)
SCORES = TrialScores(
    "ours", TRIALS, np.array([2.5, -1 / 3, 1e-9, np.nan, 0.25]), np.arange(5.0), np.array([1.0, 2.0, 2.0, 1.0, np.nan])
)


def _write(path, *lines: str):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_scores_survive_the_disk_to_the_last_digit(tmp_path) -> None:
    write_scores(SCORES, tmp_path / "ours.csv")
    found = read_scores(tmp_path / "ours.csv")
    assert found.name == "ours"
    assert found.trials == TRIALS
    assert (found.trials.speakers, found.trials.test_speakers) == (TRIALS.speakers, TRIALS.test_speakers)
    np.testing.assert_array_equal(found.trials.drawn, TRIALS.drawn)
    for part in ("score", "speaker", "liveness"):
        np.testing.assert_array_equal(getattr(found, part), getattr(SCORES, part))


def test_another_order_of_lines_gives_the_same_scores_of_the_same_trials(tmp_path) -> None:
    write_scores(SCORES.take(np.array([3, 1, 4, 0, 2])), tmp_path / "s.csv")
    found = read_scores(tmp_path / "s.csv", TRIALS)
    assert found.trials == TRIALS
    np.testing.assert_array_equal(found.score, SCORES.score)
    np.testing.assert_array_equal(found.liveness, SCORES.liveness)


@pytest.mark.parametrize(
    "lines",
    [
        ["a t1 0.5 target", "a t2 -0.5 nontarget"],
        ["1 a t1 0.5", "0 a t2 -0.5"],
        ["a t1 1 0.5", "a t2 0 -0.5"],
        ["enrol,test,label,score", "a,t1,target,0.5", "a,t2,nontarget,-0.5"],
    ],
    ids=["wespeaker", "voxceleb", "speechbrain", "csv"],
)
def test_files_of_other_toolkits_are_read(tmp_path, lines) -> None:
    found = read_scores(_write(tmp_path / "peer.txt", *lines))
    assert [trial.label for trial in found.trials] == ["target", "nontarget"]
    assert found.score.tolist() == [0.5, -0.5]
    assert found.trials.speakers is None


def test_scores_without_truth_take_it_from_the_trials(tmp_path) -> None:
    path = _write(tmp_path / "kaldi.txt", "b1 a3 4", "b1 b2 3", "a1;a2 x 5", "a1;a2 b2 2", "a1;a2 a3 1")
    found = read_scores(path, TRIALS)
    assert found.score.tolist() == [1, 2, 3, 4, 5]
    assert found.trials == TRIALS
    with pytest.raises(UserError, match="no score file that is known"):
        read_scores(path)


HEADER = "enrol,test,label,score"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([HEADER, "a,t,target,nan"], "score is 'nan', which is no finite number"),
        ([HEADER, "a,t,target,high"], "score 1: score is 'high'"),
        ([HEADER, "a,t,target,1", "a,u,target,inf"], "score 2: score is 'inf'"),
        ([HEADER, "a,t,target,1", "a,t,target,2"], "has the trial of a and t twice"),
        ([HEADER, "a,t,friend,1"], "unknown label 'friend'"),
        ([HEADER, "a,t,target"], "line 2: 3 fields where the header has 4"),
        ([HEADER], "holds no score"),
        (["enrol,test,label", "a,t,target"], "no column score"),
        (["enrol,test,score", "a,t,0.5"], "no column label"),
        (["hello"], "no score file that is known"),
        ([""], "no score file that is known"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, lines, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        read_scores(_write(tmp_path / "s.csv", *lines))


def test_missing_scores_and_files_are_named(tmp_path) -> None:
    with pytest.raises(UserError, match="There is no score file"):
        read_scores(tmp_path / "none.csv")
    write_scores(SCORES.take(np.array([0, 1, 2])), tmp_path / "few.csv")
    with pytest.raises(UserError, match=r"no score of 2 of 5 trials \(first: b1 and a3\)"):
        read_scores(tmp_path / "few.csv", TRIALS)


def test_a_folder_that_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00enrol")
    with pytest.raises(UserError, match="not a text of scores"):
        read_scores(tmp_path / "s.csv")
