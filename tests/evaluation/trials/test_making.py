from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.evaluation.trials.making import TrialPlan, draw_trials, make_trials
from vivavoce.evaluation.trials.table import DRAWN, NONTARGET, TARGET, Trials, references


def _row(speaker: str, number: int, session: str | None = None, kind: Kind = Kind.LIVE, file: str | None = None) -> Row:
    name = f"{speaker}_{kind.value}_{number}"
    path = Path("/data") / (file or f"{name}.wav")
    return Row(name, path, speaker, None, 0.0, 3.0, 48_000, 0, Metadata(session=session, kind=kind))


def _corpus(speakers: int, each: int, sessions: int = 1) -> list[Row]:
    rows = [_row(f"s{s}", i, f"day{i % sessions}") for s in range(speakers) for i in range(each)]
    return rows + [_row(f"s{s}", i, "day0", Kind.REPLAY_STAND) for s in range(speakers) for i in range(2)]


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
    assert Trials.of(list(trials)) == trials


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


PLANS = st.builds(
    TrialPlan,
    enrol=st.integers(1, 3),
    seed=st.integers(0, 99),
    max_nontarget_per_target=st.integers(1, 8),
    same_sex=st.sampled_from([0, 0.3, 0.5]),
    hard=st.sampled_from([0, 0.2, 0.5]),
    balance=st.booleans(),
    limit=st.none() | st.integers(1, 80),
)
SPECIES = (Kind.REPLAY_STAND, Kind.TTS, Kind.PROBE_ABSENT)


@st.composite
def corpora(draw: st.DrawFn) -> list[Row]:
    """Speakers with few and with many recordings, takes of one utterance, two sexes, attacks of some kinds."""
    rows = []
    for speaker in range(draw(st.integers(2, 6))):
        sex = draw(st.sampled_from(["f", "m", None] if speaker else ["f"]))
        count = draw(st.integers(1, 14)) if speaker else 8
        rows += [_take(f"s{speaker}", i, i % 2, f"day{i % 3}") for i in range(count)]
        rows += [_row(f"s{speaker}", i, kind=kind) for kind in SPECIES for i in range(draw(st.integers(0, 4)))]
        rows = [
            replace(row, meta=row.meta.model_copy(update={"sex": sex})) if row.speaker == f"s{speaker}" else row
            for row in rows
        ]
    return rows


def _embeddings(rows: list[Row]) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(len(rows), 8))


@settings(deadline=None)
@given(corpora(), PLANS)
def test_whatever_the_plan_no_test_is_an_enrolment_and_all_is_true(rows: list[Row], plan: TrialPlan) -> None:
    by_name = dict(zip(references(rows), rows, strict=True))
    trials = draw_trials(rows, plan, _embeddings(rows))
    assert trials == Trials.of(list(trials)) == draw_trials(rows, plan, _embeddings(rows))
    assert trials.speakers is not None
    assert trials.test_speakers is not None
    assert len(set(trials)) == len(trials) <= (plan.limit or len(rows) ** 2)
    enrolled = {name for members in trials.enrolments for name in members}
    if plan.limit is None:
        targets = _by_enrolment(trials, TARGET)
        for enrolment, count in _by_enrolment(trials, NONTARGET).items():
            assert count <= plan.max_nontarget_per_target * targets[enrolment]
    for trial, how, enrolment, test in zip(trials, trials.drawn, trials.enrolment, trials.test, strict=True):
        models, row = [by_name[name] for name in trial.enrol], by_name[trial.test]
        assert {model.speaker for model in models} == {trials.speakers[enrolment]}
        assert row.speaker == trials.test_speakers[test]
        assert trial.test not in enrolled
        assert (row.speaker == models[0].speaker) == (trial.label != NONTARGET)
        assert (row.meta.kind.value if row.meta.kind is not Kind.LIVE else trial.label) == trial.label
        assert (DRAWN[how] != "") == (trial.label == NONTARGET)
        if trial.label == TARGET:
            assert row.meta.model_extra["source"] not in {model.meta.model_extra["source"] for model in models}
        if DRAWN[how] == "same_sex":
            assert row.meta.sex == models[0].meta.sex is not None


@settings(deadline=None)
@given(corpora(), st.integers(0, 99), st.integers(1, 40))
def test_balanced_speakers_count_alike(rows: list[Row], seed: int, most: int) -> None:
    plan = TrialPlan(enrol=1, seed=seed, max_nontarget_per_target=most)
    free, even = (draw_trials(rows, plan.model_copy(update={"balance": balance})) for balance in (False, True))
    targets, nontargets = (_by_enrolment(even, label) for label in (TARGET, NONTARGET))
    before = np.array(list(_by_enrolment(free, TARGET).values()))
    assert max(targets.values(), default=0) <= np.median(before[before > 0])
    assert set(free.take(free.is_target)) >= set(even.take(even.is_target))
    shares = np.array([(nontargets.get(one, 0), count) for one, count in targets.items()]).reshape(-1, 2)
    assert ((shares[:, 0] - 1) / shares[:, 1]).max(initial=-1) < (shares[:, 0] / shares[:, 1]).min(initial=most), (
        "one ratio, rounded up to whole recordings, fits them all"
    )
    cells, cut = ([c for kind in SPECIES for c in _by_enrolment(part, kind.value).values()] for part in (free, even))
    assert max(cut, default=0) <= np.median(cells or [0])
    assert len(cut) == len(cells), "no speaker loses a kind"


def _by_enrolment(trials: Trials, label: str) -> dict[tuple[str, ...], int]:
    some = trials.take(trials.labels == label)
    return dict(zip(some.enrolments, np.bincount(some.enrolment).tolist(), strict=True))


def _grouped(speakers: int, each: int) -> list[Row]:
    """Live recordings, every other speaker a woman."""
    rows = [_row(f"s{s}", i) for s in range(speakers) for i in range(each)]
    return [replace(row, meta=row.meta.model_copy(update={"sex": "fm"[int(row.speaker[1:]) % 2]})) for row in rows]


def test_shares_are_kept_where_there_are_enough() -> None:
    rows = _grouped(8, 23)
    plan = TrialPlan(max_nontarget_per_target=5, same_sex=0.4, hard=0.2)
    trials = draw_trials(rows, plan, _embeddings(rows))
    counts = dict(zip(DRAWN, np.bincount(trials.drawn, minlength=len(DRAWN)).tolist(), strict=True))
    targets = int(trials.is_target.sum())
    assert targets == 8 * 20
    assert counts == {"": targets, "random": 2 * targets, "same_sex": 2 * targets, "hard": targets}
    # Those of the same sex are spread over the three other speakers of that sex.
    same = trials.take(trials.drawn == DRAWN.index("same_sex"))
    owners = np.array([int(name.split("/")[-1][1]) for name in same.tests])[same.test]
    for enrolment in range(len(same.enrolments)):
        given_by = np.unique(owners[same.enrolment == enrolment], return_counts=True)[1]
        assert len(given_by) == 3
        assert np.ptp(given_by) <= 1


def test_hard_non_targets_are_the_nearest_of_others() -> None:
    rows = _grouped(6, 9)
    embeddings = _embeddings(rows)
    trials = draw_trials(rows, TrialPlan(hard=1.0, max_nontarget_per_target=2), embeddings)
    number = {name: index for index, name in enumerate(references(rows))}
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    enrolled = {number[name] for members in trials.enrolments for name in members}
    for members in trials.enrolments:
        own = [trial for trial in trials if trial.enrol == members]
        mean = unit[[number[name] for name in members]].mean(axis=0)
        speaker = rows[number[members[0]]].speaker
        others = [i for i, row in enumerate(rows) if row.speaker != speaker and i not in enrolled]
        hard = {number[trial.test] for trial in own if trial.label == NONTARGET}
        assert len(hard) == 2 * sum(trial.label == TARGET for trial in own)
        assert hard == set(sorted(others, key=lambda i: -unit[i] @ mean)[: len(hard)])
    assert draw_trials(rows, TrialPlan(hard=1.0, max_nontarget_per_target=2), 7 * embeddings) == trials


def test_more_hard_ones_than_there_are_means_all() -> None:
    rows = _grouped(3, 5)
    trials = draw_trials(rows, TrialPlan(hard=1.0, max_nontarget_per_target=99), _embeddings(rows))
    assert (trials.drawn == DRAWN.index("hard")).sum() == 3 * 2 * 2  # two recordings of each of two others


def test_a_limit_keeps_the_shares() -> None:
    rows = _corpus(10, 23)
    whole = draw_trials(rows, TrialPlan())
    thin = draw_trials(rows, TrialPlan(limit=len(whole) // 10))
    assert len(thin) == len(whole) // 10
    assert set(thin) <= set(whole)
    for label, count in whole.counts.items():
        assert abs(thin.counts[label] - count / 10) <= 1
    for enrolment, count in _by_enrolment(whole, NONTARGET).items():
        assert abs(_by_enrolment(thin, NONTARGET)[enrolment] - count / 10) <= 1


def test_speakers_of_unknown_sex_meet_everybody() -> None:
    rows = _grouped(4, 9)
    rows = [replace(row, meta=Metadata()) if row.speaker == "s0" else row for row in rows]
    trials = draw_trials(rows, TrialPlan(same_sex=1.0, max_nontarget_per_target=1))
    counts = {members[0].split("/")[-1][:2]: count for members, count in _by_enrolment(trials, NONTARGET).items()}
    assert counts == {"s0": 6, "s1": 6, "s2": 6, "s3": 6}, "whoever lacks others of the same sex gets any"


def test_attacks_may_be_left_out() -> None:
    rows = _corpus(4, 9)
    whole, without = (draw_trials(rows, TrialPlan(attacks=attacks)) for attacks in (True, False))
    assert without == whole.take(whole.is_target | whole.is_nontarget)
    assert len(without) < len(whole)


def test_nobodys_sex_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="says nobody's sex"):
        draw_trials(_corpus(3, 8), TrialPlan(same_sex=0.5))


def test_hard_ones_need_an_embedding_of_each() -> None:
    rows = _corpus(3, 8)
    for embeddings in (None, np.ones((2, 4))):
        with pytest.raises(ValueError, match="one embedding a row"):
            draw_trials(rows, TrialPlan(hard=0.5), embeddings)
    broken = _embeddings(rows)
    broken[3] = np.nan
    with pytest.raises(ValueError, match="no numbers"):
        draw_trials(rows, TrialPlan(hard=0.5), broken)


def test_a_plan_is_checked() -> None:
    with pytest.raises(ValueError, match="shares of one whole"):
        TrialPlan(same_sex=0.6, hard=0.5)
    with pytest.raises(ValueError, match="extra"):
        TrialPlan.model_validate({"enroll": 3})
