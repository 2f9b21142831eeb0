from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.files import read_trials, write_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import NONTARGET, TARGET, Trial, references


def _row(speaker: str, number: int, session: str | None = None, kind: Kind = Kind.LIVE, file: str | None = None) -> Row:
    name = f"{speaker}_{kind.value}_{number}"
    path = Path("/data") / (file or f"{name}.wav")
    return Row(name, path, speaker, None, 0.0, 3.0, 48_000, 0, Metadata(session=session, kind=kind))


def _corpus(speakers: int, each: int, sessions: int = 1) -> list[Row]:
    rows = [_row(f"s{s}", i, f"day{i % sessions}") for s in range(speakers) for i in range(each)]
    return rows + [_row(f"s{s}", i, "day0", Kind.REPLAY_STAND) for s in range(speakers) for i in range(2)]


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(4, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_trials_say_the_truth_and_never_overlap(speakers: int, each: int, sessions: int, enrol: int, seed: int) -> None:
    rows = _corpus(speakers, each, sessions)
    by_path = {str(row.path): row for row in rows}
    trials = make_trials(rows, enrol, seed, max_nontarget_per_target=3)
    enrolled = {path for trial in trials for path in trial.enrol}
    assert len(set(trials)) == len(trials)
    assert {trial.label for trial in trials} == {TARGET, NONTARGET, "replay_stand"}
    for trial in trials:
        owners = {by_path[path].speaker for path in trial.enrol}
        test = by_path[trial.test]
        assert len(owners) == 1
        assert len(set(trial.enrol)) == enrol
        assert all(by_path[path].meta.kind is Kind.LIVE for path in trial.enrol)
        assert trial.test not in enrolled
        assert (test.speaker in owners) == (trial.label != NONTARGET)
        assert test.meta.kind.value == (trial.label if trial.label == "replay_stand" else "live")
    labels = [trial.label for trial in trials]
    assert labels.count(NONTARGET) <= 3 * labels.count(TARGET)


def test_enrolment_is_one_session_and_targets_another() -> None:
    rows = _corpus(4, 8, sessions=2)
    by_path = {str(row.path): row.meta.session for row in rows}
    for trial in make_trials(rows):
        sessions = {by_path[path] for path in trial.enrol}
        assert len(sessions) == 1
        if trial.label == TARGET:
            assert by_path[trial.test] not in sessions


def test_sessions_mix_only_where_none_is_large_enough() -> None:
    rows = [_row("a", i, f"day{i}") for i in range(5)] + [_row("b", i, "day0") for i in range(5)]
    trials = make_trials(rows)
    assert sum(t.label == TARGET for t in trials) == 4  # two tests a speaker


def test_impostors_are_spread_over_speakers() -> None:
    rows = _corpus(5, 23)
    trials = [t for t in make_trials(rows, max_nontarget_per_target=1) if t.label == NONTARGET]
    for model in {t.enrol for t in trials}:
        speakers = [t.test.split("/")[-1].split("_")[0] for t in trials if t.enrol == model]
        counts = np.unique(speakers, return_counts=True)[1]
        assert counts.tolist() == [5, 5, 5, 5]


def test_trials_are_seeded() -> None:
    rows = _corpus(4, 9)
    assert make_trials(rows, seed=3) == make_trials(rows, seed=3)
    assert make_trials(rows, seed=3) != make_trials(rows, seed=4)


def test_speakers_with_few_recordings_serve_as_other_people_only() -> None:
    rows = [*_corpus(2, 6), _row("few", 0), _row("few", 1)]
    trials = make_trials(rows)
    assert not any("few" in path for trial in trials for path in trial.enrol)
    assert any("few" in trial.test for trial in trials if trial.label == NONTARGET)


def test_nobody_to_enrol_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="No speaker has 4 live recordings"):
        make_trials(_corpus(3, 3))


@pytest.mark.parametrize("bad", [{"enrol": 0}, {"max_nontarget_per_target": 0}])
def test_impossible_numbers_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make_trials(_corpus(2, 5), **bad)


def test_recordings_of_one_file_go_by_their_id() -> None:
    rows = [_row("a", 0, file="long.wav"), _row("a", 1, file="long.wav"), _row("a", 2)]
    assert references(rows) == ["a_live_0", "a_live_1", str(Path("/data/a_live_2.wav"))]


def test_a_hundred_thousand_trials_are_all_different() -> None:
    trials = make_trials(_corpus(200, 53))
    assert len(trials) > 100_000
    assert len(set(trials)) == len(trials)


def test_a_list_survives_its_file(tmp_path: Path) -> None:
    trials = [Trial(("a b.wav", "ü,2.wav"), "c.wav", TARGET), Trial(("a.wav",), "d.wav", "replay_stand")]
    write_trials(trials, tmp_path / "t.csv")
    assert read_trials(tmp_path / "t.csv") == trials


def test_a_separator_inside_a_path_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="separator"):
        write_trials([Trial(("a;b.wav",), "c.wav", TARGET)], tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_known_paths_are_found_as_written_or_beside_the_list(tmp_path: Path) -> None:
    known = [tmp_path / "wav" / "a.wav", tmp_path / "wav" / "b.wav", "segment-7"]
    path = _write(tmp_path / "t.csv", "label,test,enrol,note", f"target,wav/b.wav,{known[0]};segment-7,x")
    assert read_trials(path, known) == [Trial((str(known[0]), "segment-7"), str(known[1]), TARGET)]


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


def _take(speaker: str, utterance: int, number: int, session: str | None = None, text: str | None = None) -> Row:
    row = _row(speaker, 10 * utterance + number)
    meta = Metadata.model_validate({"source": f"{speaker}-{utterance}", "session": session})
    return replace(row, meta=meta, text=text)


@given(seed=st.integers(0, 30), sessions=st.sampled_from([1, 2]))
def test_takes_of_one_utterance_are_never_enrolment_and_test_at_once(seed: int, sessions: int) -> None:
    rows = [
        _take(speaker, utterance, number, f"day{number % sessions}")
        for speaker in "ab"
        for utterance in range(5)
        for number in range(2)
    ]
    said = {name: row.meta.model_extra["source"] for name, row in zip(references(rows), rows, strict=True)}
    trials = make_trials(rows, seed=seed)
    assert {trial.label for trial in trials} == {TARGET, "nontarget"}
    for trial in trials:
        assert said[trial.test] not in {said[name] for name in trial.enrol}


@given(seed=st.integers(0, 30), takes=st.integers(2, 4), mixed=st.booleans())
def test_an_enrolment_holds_different_utterances_where_there_are_enough(seed: int, takes: int, mixed: bool) -> None:
    rows = [
        _take(speaker, utterance, number, f"{speaker}{10 * utterance + number if mixed else utterance // 3}")
        for speaker in "ab"
        for utterance in range(6)
        for number in range(takes)
    ]
    said = {name: row.meta.model_extra["source"] for name, row in zip(references(rows), rows, strict=True)}
    for enrol in (2, 3):
        assert all(len({said[name] for name in t.enrol}) == enrol for t in make_trials(rows, enrol, seed))
    few = make_trials(rows, 4, seed)
    assert {len({said[name] for name in t.enrol}) for t in few} <= ({4} if mixed else {2, 3}), "then takes serve too"


@given(seed=st.integers(0, 30))
def test_an_enrolment_holds_different_texts_where_there_are_enough(seed: int) -> None:
    rows = [
        _take(speaker, 10 * day + number, 0, f"day{day}", f"text {number % 3}")
        for speaker in "ab"
        for day in range(2)
        for number in range(9)
    ]
    texts = {name: row.text for name, row in zip(references(rows), rows, strict=True)}
    assert all(len({texts[name] for name in t.enrol}) == 3 for t in make_trials(rows, 3, seed))
    assert all(len(set(t.enrol)) == 4 for t in make_trials(rows, 4, seed))


def test_one_session_gives_the_list_it_always_gave() -> None:
    rows = [_take("ab"[n % 2], n // 4, n, "day0", "the same words") for n in range(16)]
    enrolled = {tuple(Path(name).stem for name in t.enrol) for t in make_trials(rows, 3, seed=5)}
    assert enrolled == {("a_live_0", "a_live_28", "a_live_30"), ("b_live_15", "b_live_17", "b_live_29")}
