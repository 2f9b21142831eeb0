from pathlib import Path

import numpy as np
import pytest

from vivavoce.comparison.comparing import compare
from vivavoce.comparison.loading import load_systems
from vivavoce.corpus.manifest import Row, write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.evaluation.scores import TrialScores, write_scores
from vivavoce.evaluation.trials.files import write_trials
from vivavoce.evaluation.trials.table import Trial, Trials, references

from ..conftest import MakeWav
from .made import make_scores, make_trials

TRIALS = make_trials(12, 3)


def _no_run(run: Path, manifest: Path, trials: Trials) -> TrialScores:
    raise AssertionError("no run is to be scored")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "ours.csv", tmp_path / "peer.csv"]
    for turn, path in enumerate(paths):
        write_scores(make_scores(path.stem, TRIALS, seed=turn), path)
    return paths


@pytest.fixture
def manifest(tmp_path: Path, make_wav: MakeWav) -> Path:
    """Twelve speakers, five live recordings and two replays each, all in one sound file."""
    wav = make_wav("corpus/a.wav", seconds=0.1)
    rows = [
        Row(f"{kind.value}-{who:02d}-{turn}", wav, f"p{who:02d}", None, 0.0, 0.1, 48_000, 0, Metadata(kind=kind))
        for who in range(12)
        for kind, count in ((Kind.LIVE, 5), (Kind.REPLAY_STAND, 2))
        for turn in range(count)
    ]
    write_rows(rows, tmp_path / "manifest.jsonl")
    return tmp_path / "manifest.jsonl"


def _score(run: Path, manifest: Path, trials: Trials) -> TrialScores:
    return make_scores(run.name, trials, seed=len(run.name), threshold=1.0)


def test_score_files_are_called_as_they_are_named_or_as_one_says(files: list[Path]) -> None:
    assert [one.name for one in load_systems(files, _no_run)] == ["ours", "peer"]
    assert [one.name for one in load_systems(files, _no_run, names=["a", "b"])] == ["a", "b"]


def test_files_of_one_name_are_told_apart(files: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other" / "ours.csv"
    other.parent.mkdir()
    other.write_bytes(files[1].read_bytes())
    assert [one.name for one in load_systems([files[0], other], _no_run)] == [str(files[0]), str(other)]
    assert [one.name for one in load_systems([other, other], _no_run)] == [str(other), f"{other} (2)"]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a"], "1 names for 2 systems"), (["a", ""], "give one each"), (["a", "a"], "calls two systems a")],
)
def test_wrong_names_are_refused(files: list[Path], names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_systems(files, _no_run, names=names)


def test_a_list_of_trials_chooses_among_more(files: list[Path], tmp_path: Path) -> None:
    chosen = TRIALS.take(np.arange(0, len(TRIALS), 2))
    write_trials(chosen, tmp_path / "trials.csv")
    found = load_systems(files, _no_run, trials=tmp_path / "trials.csv")
    assert all(one.trials == chosen for one in found)
    assert compare(found, resamples=99).systems[0].name == "ours"


def test_scores_without_truths_take_them_from_the_first_file(files: list[Path], tmp_path: Path) -> None:
    plain = [Trial(("e",), f"t{turn}", "target" if turn % 2 else "nontarget") for turn in range(40)]
    trials = Trials.of(plain)
    write_scores(TrialScores("ours", trials, np.arange(40.0)), files[0])
    (tmp_path / "kaldi.txt").write_text("".join(f"e t{turn} {turn}\n" for turn in range(40)))
    found = load_systems([files[0], tmp_path / "kaldi.txt"], _no_run)
    assert found[1].trials == trials
    assert compare(found, resamples=99).differences[0].status == "same"


def test_what_cannot_be_read_is_said_in_one_sentence(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs two systems"):
        load_systems(files[:1], _no_run)
    with pytest.raises(UserError, match=r"There is no score file .*none\.csv"):
        load_systems([files[0], tmp_path / "none.csv"], _no_run)
    (tmp_path / "bad.csv").write_text("enrol,test,label,score\na,b,target,much\n")
    with pytest.raises(UserError, match="no finite number"):
        load_systems([files[0], tmp_path / "bad.csv"], _no_run)


def test_a_run_needs_recordings(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"run is a run folder.*--on"):
        load_systems([files[0], tmp_path / "run"], _no_run)


def test_runs_are_scored_on_one_list_made_of_the_manifest(manifest: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "first", tmp_path / "second"]
    for run in runs:
        run.mkdir()
    found = load_systems(runs, _score, manifest)
    assert [one.name for one in found] == ["first", "second"]
    assert found[0].trials == found[1].trials
    assert set(found[0].trials.counts) == {"target", "nontarget", "replay_stand"}
    assert any(one.key == "act_a_dcf" for one in compare(found, resamples=99).differences)


def test_a_run_scores_the_trials_of_a_score_file_whose_names_are_the_manifests(manifest: Path, tmp_path: Path) -> None:
    from vivavoce.corpus.manifest import read_rows
    from vivavoce.evaluation.trials.making import make_trials as draw

    rows = read_rows(manifest)
    trials = draw(rows)
    bare = Trials(trials.enrolments, trials.tests, trials.enrolment, trials.test, trials.label)
    write_scores(make_scores("peer", bare), tmp_path / "peer.csv")
    (tmp_path / "run").mkdir()
    found = load_systems([tmp_path / "run", tmp_path / "peer.csv"], _score, manifest)
    assert found[0].trials == found[1].trials == trials
    # The score file does not say who speaks; the manifest does.
    assert compare(found, resamples=99).speakers == 12
    assert set(trials.tests) <= set(references(rows))


def test_recordings_that_the_manifest_lacks_are_refused(manifest: Path, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="which the manifest does not hold"):
        load_systems([tmp_path / "run", files[0]], _score, manifest)
