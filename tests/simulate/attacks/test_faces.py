from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.attacks.mouthing import mouthed_along
from vivavoce.simulate.config import AttackConfig
from vivavoce.simulate.draws import generator
from vivavoce.simulate.job import Mouth
from vivavoce.simulate.plan import Corpus
from vivavoce.simulate.render import mouth_motion
from vivavoce.simulate.scatter import at_times

from ..utterances import phones_of
from .made import config, moving_parts, planned, recorded, small_corpus

LOW = scipy.signal.butter(6, 8000, fs=48_000, output="sos")  # the voice, without the probe
GRID = np.arange(0, 4.0, 1 / 200)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("corpus"), seconds=4.0)


def aperture(item, settings) -> np.ndarray:
    motion, origin = mouth_motion(item.job.mouth, 4.0, item.job.delay_s, settings, item.job.id)
    return at_times(motion, GRID - origin)[1]


def best_lag_s(later: np.ndarray, earlier: np.ndarray) -> tuple[float, float]:
    """Lag at which two apertures agree best, and their correlation there; lags of −0.5 to 0.5 s."""
    core = slice(120, -120)
    lags = np.arange(-100, 101)
    match = [np.corrcoef(earlier[core], np.roll(later, -lag)[core])[0, 1] for lag in lags]
    return lags[int(np.argmax(match))] / 200, float(np.max(match))


def test_mouthing_follows_the_live_mouth_by_its_lag_but_is_another_mouth(corpus: Corpus) -> None:
    settings = config(Kind.LIVE, Kind.MOUTHING)
    items = planned(corpus, settings)
    live = {item.row.meta.model_extra["source"]: aperture(item, settings) for item in items if item.job.kind == "live"}
    found, stated, agreement = [], [], []
    for item in items:
        if item.job.kind is Kind.MOUTHING:
            lag, match = best_lag_s(aperture(item, settings), live[item.row.meta.model_extra["source"]])
            found.append(lag)
            agreement.append(match)
            stated.append(item.row.meta.model_extra["lag_ms"] / 1000)
            assert item.job.mouth.speaker != item.row.speaker
    assert all(0.02 <= lag <= 0.36 for lag in found), found
    np.testing.assert_allclose(found, stated, atol=0.06)
    assert np.median(agreement) > 0.4
    assert np.max(agreement) < 0.97
    assert all(0.05 <= lag <= 0.3 for lag in stated)


def test_mouthed_phones_stray_by_the_drawn_jitter_and_keep_their_order() -> None:
    mouth = Mouth("ann", tuple(phones_of(20.0)), 20.0)
    steady = AttackConfig.model_validate({"mouthing_jitter_ms": 30, "mouthing_drift_ms": 0})
    moved, _ = mouthed_along(mouth, "bob", generator(0, "m"), steady)
    starts = np.array([[a.start_s, b.start_s] for a, b in zip(mouth.phones, moved.phones, strict=True)])
    assert np.std(starts[:, 1] - starts[:, 0]) == pytest.approx(0.030, rel=0.25)
    lengths = [phone.end_s - phone.start_s for phone in moved.phones]
    assert min(lengths) >= 0.02 - 1e-9
    assert [phone.name for phone in moved.phones] == [phone.name for phone in mouth.phones]
    drifting = AttackConfig.model_validate({"mouthing_jitter_ms": 0, "mouthing_drift_ms": 50})
    drifted, _ = mouthed_along(mouth, "bob", generator(0, "m"), drifting)
    away = np.array([b.start_s - a.start_s for a, b in zip(mouth.phones, drifted.phones, strict=True)])
    assert np.sqrt(np.mean(away**2)) == pytest.approx(0.05, rel=0.4)
    assert np.abs(np.diff(away[1:])).max() < 0.06  # the tempo drifts, it does not jump


def test_a_measured_mouth_can_be_mouthed_too(corpus: Corpus) -> None:
    settings = config(Kind.LIVE)
    measured = mouth_motion(Mouth("ann", tuple(phones_of(4.0)), 4.0), 4.0, 0.0, settings, "m")[0]
    mouth = Mouth("ann", (), 4.0, measured)
    moved, lag_s = mouthed_along(mouth, "bob", generator(0, "m"), AttackConfig())
    assert moved.measured is not None
    assert moved.measured.positions_m.shape == measured.positions_m.shape
    assert 0.05 <= lag_s <= 0.3
    match = np.corrcoef(moved.measured.aperture_m, measured.aperture_m)[0, 1]
    assert 0.3 < match < 0.97
    fastest = np.abs(np.diff(measured.aperture_m)).max()
    assert np.abs(np.diff(moved.measured.aperture_m)).max() < 4 * fastest


def test_spliced_words_are_others_inside_the_splice_and_the_own_outside(corpus: Corpus) -> None:
    settings = config(Kind.SPLICED)
    for item in planned(corpus, settings)[:3]:
        ((start_s, end_s),) = item.job.splices
        assert item.row.meta.splices == item.job.splices
        assert 0.45 <= end_s - start_s <= 1.5
        assert item.job.other is not None
        assert item.job.other.path.name.split("-")[0] == item.row.speaker  # the same speaker's words
        assert item.job.other.path != item.job.source.path
        untouched = replace(item, job=replace(item.job, splices=()))
        inside = slice(round(start_s * 48_000), round(end_s * 48_000))
        both = np.stack([recorded(one, settings) for one in (item, untouched)])
        voices = scipy.signal.sosfilt(LOW, both, axis=1)
        # Before the splice the two differ by the level alone, which is set over the whole voice; in it by the words.
        assert np.corrcoef(voices[:, : inside.start - 100])[0, 1] > 0.995
        assert np.corrcoef(voices[:, inside])[0, 1] < 0.9


def test_spliced_voice_is_level_matched_and_otherwise_unchanged(corpus: Corpus) -> None:
    from vivavoce.simulate.attacks.splicing import replaced_words
    from vivavoce.simulate.attacks.take import Take

    rng = np.random.default_rng(0)
    settings = config(Kind.SPLICED)
    session = planned(corpus, settings)[0].job.session
    voice, other = (0.1 * rng.standard_normal(96_000).astype(np.float32) for _ in range(2))
    take = Take("t", settings, session, "stand", 0.1, voice, other=3 * other, splices=((0.5, 1.2),))
    for size in (None, "phone"):
        made = replaced_words(replace(take, loudspeaker=size))
        np.testing.assert_array_equal(made[:24_000], voice[:24_000])
        np.testing.assert_array_equal(made[57_600:], voice[57_600:])
        span = made[24_000:57_600]
        assert abs(np.corrcoef(span[2000:-2000], voice[26_000:55_600])[0, 1]) < 0.05
        assert np.sqrt(np.mean(span**2)) == pytest.approx(0.1, rel=0.35)
    edited = replaced_words(take)[24_000:57_600]
    assert np.sqrt(np.mean(edited**2)) == pytest.approx(0.1, rel=0.05)
    # No step at the joints: the fade begins where the own voice ends.
    assert abs(edited[0] - voice[24_000]) < 0.02


def test_the_mouth_of_a_splice_says_the_original_words(corpus: Corpus) -> None:
    settings = config(Kind.LIVE, Kind.SPLICED)
    items = {str(item.job.kind): item for item in planned(corpus, settings)[:2]}
    assert items["spliced"].job.mouth == items["live"].job.mouth
    assert items["spliced"].job.delay_s == 0
    tones = items["live"].job.session.probe.tones_hz
    levels = [
        np.mean([np.mean(np.abs(part) ** 2) for part in moving_parts(recorded(item, settings), tones)])
        for item in items.values()
    ]
    assert 10 * np.log10(levels[1] / levels[0]) == pytest.approx(0, abs=2.5)


def test_a_speaker_with_one_utterance_borrows_and_one_utterance_alone_is_refused(tmp_path: Path) -> None:
    from vivavoce.errors import UserError

    corpus = small_corpus(tmp_path, each=1)
    settings = config(Kind.SPLICED)
    assert planned(corpus, settings)[0].row.meta.model_extra["spliced_from"] == "ben-0"  # type: ignore[index]
    with pytest.raises(UserError, match=r"kinds\.spliced to 0"):
        planned(replace(corpus, rows=corpus.rows[:1]), settings)
