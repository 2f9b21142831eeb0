from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.signal.tones import detect_tones
from vivavoce.simulate import loudspeaker
from vivavoce.simulate.attacks.kinds import KINDS, POSTURES
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.job import Mouth
from vivavoce.simulate.levels import probe_levels
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.plan import Corpus, Planned, plan
from vivavoce.simulate.render import mouth_motion, samples_of
from vivavoce.simulate.scatter import at_times
from vivavoce.simulate.speech import RATE_HZ, active_level

from .utterances import phones_of, write_corpus

# A phone that adds nothing of its own, so that the scene's physics shows.
CLEAN = {
    "gain_control_share": 0,
    "alpha2_db": -120,
    "alpha3_db": -120,
    "noise_dbc_hz": -120,
    "direct_cm": 1.5,
    "rolloff_db_per_khz": 0,
}
BOOKSHELF = loudspeaker.SIZES["bookshelf"]
MeanDbc = Callable[[SimulationConfig, Kind], float]
ALL = dict.fromkeys(KindNames := [kind.value for kind in KINDS], 1)


def config(**changes: object) -> SimulationConfig:
    return SimulationConfig.model_validate(
        {"kinds": ALL, "distance_cm": 10, "distance_jitter": 0, "device": CLEAN, "postures": "stand"} | changes
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    rows, phones = write_corpus(tmp_path_factory.mktemp("corpus"), each=4, seconds=2.0)
    return Corpus(rows, phones, {})


def planned(corpus: Corpus, settings: SimulationConfig, kind: Kind) -> list[Planned]:
    return [item for item in plan(corpus, Path("out"), settings) if item.job.kind is kind]


def dynamic_dbc(wave: np.ndarray, tones_hz: tuple[float, ...]) -> float:
    return probe_levels(wave / 32768, RATE_HZ, tones_hz).dynamic_dbc


@pytest.fixture(scope="module")
def mean_dbc(corpus: Corpus) -> MeanDbc:
    """Mean level of the movement in all recordings of a kind, each made once."""
    known: dict[tuple[str, Kind], float] = {}

    def mean(settings: SimulationConfig, kind: Kind) -> float:
        key = settings.model_dump_json(), kind
        if key not in known:
            items = planned(corpus, settings, kind)
            levels = [dynamic_dbc(samples_of(i.job, settings), i.job.session.probe.tones_hz) for i in items]
            known[key] = float(np.mean(levels))
        return known[key]

    return mean


def test_living_mouth_is_at_the_published_level_and_a_still_replay_far_below(mean_dbc: MeanDbc) -> None:
    settings = config()
    mouth = mean_dbc(settings, Kind.LIVE)
    assert mouth == pytest.approx(-26, abs=4)  # DESIGN §5
    assert mean_dbc(settings, Kind.REPLAY_STAND) < mouth - 15
    assert mean_dbc(settings, Kind.SWAPPED_MOUTH) == pytest.approx(mouth, abs=4)


def test_echo_falls_about_12_db_per_doubling(mean_dbc: MeanDbc) -> None:
    near, far = (mean_dbc(config(distance_cm=distance), Kind.LIVE) for distance in (10, 20))
    assert near - far == pytest.approx(11, abs=2.5)  # 12 less what the chin's place below the axis takes off


def test_handheld_replay_shows_as_much_doppler_as_a_mouth(mean_dbc: MeanDbc) -> None:
    settings = config()
    handheld = mean_dbc(settings, Kind.REPLAY_HANDHELD)
    assert handheld > mean_dbc(settings, Kind.REPLAY_STAND) + 15
    assert handheld > -35


def test_gain_control_makes_a_still_replay_move_with_the_voice(mean_dbc: MeanDbc) -> None:
    strong = CLEAN | {"gain_control_share": 1, "gain_control_db": 12, "gain_threshold_dbfs": -24}
    still = mean_dbc(config(), Kind.REPLAY_STAND)
    assert mean_dbc(config(device=strong), Kind.REPLAY_STAND) > still + 6


def test_cone_stays_out_of_the_doppler_band(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def wave_with(cone_dbc: float) -> tuple[np.ndarray, tuple[float, ...]]:
        pure = {"cone_dbc": cone_dbc, "second_db": -120, "third_db": -120}
        size = loudspeaker.LoudspeakerSize.model_validate(BOOKSHELF.model_dump() | pure)
        monkeypatch.setitem(loudspeaker.SIZES, "bookshelf", size)
        # One tone: eight would put their sidebands into each other's bands.
        settings = config(pools={"loudspeakers": ["bookshelf"]}, speech={"leakage_db_hz": -140}, probe={"tones": 1})
        job = planned(corpus, settings, Kind.REPLAY_STAND)[0].job
        return samples_of(job, settings).astype(float), job.session.probe.tones_hz

    (strong, tones), (none, _) = wave_with(-30), wave_with(-160)
    window = scipy.signal.get_window("blackmanharris", len(strong))
    cone = np.abs(np.fft.rfft((strong - none) * window)) ** 2
    beside = np.abs(np.fft.rfftfreq(len(strong), 1 / RATE_HZ)[:, None] - np.array(tones)).min(axis=1)
    inside, outside = cone[beside < 50].mean(), cone[(beside > 80) & (beside < 100)].mean()
    assert 10 * np.log10(outside / inside) > 30


def test_probe_absent_has_no_tones_and_live_has_them_all(corpus: Corpus) -> None:
    settings = config()
    absent, live = (planned(corpus, settings, kind)[0] for kind in (Kind.PROBE_ABSENT, Kind.LIVE))
    assert detect_tones(samples_of(absent.job, settings) / 32768, RATE_HZ) == ()
    assert absent.row.meta.probe_hz == ()
    found = detect_tones(samples_of(live.job, settings) / 32768, RATE_HZ)
    np.testing.assert_allclose(found, live.row.meta.probe_hz, atol=0.5)


def test_recorded_ultrasound_brings_a_second_set_of_tones_with_another_clock(corpus: Corpus) -> None:
    settings = config()
    item = planned(corpus, settings, Kind.RECORDED_ULTRASOUND)[0]
    assert item.job.earlier is not None
    old, new = np.array(item.job.earlier.probe.tones_hz), np.array(item.job.session.probe.tones_hz)
    alone = [tone for tone in old if np.abs(new - tone).min() > 60]
    assert alone
    wave = samples_of(item.job, settings)
    time = np.arange(len(wave)) / RATE_HZ
    offsets = np.arange(-15, 16) / 10
    for tone in alone:
        seen = [abs(np.sum(wave * np.hanning(len(wave)) * np.exp(-2j * np.pi * (tone + o) * time))) for o in offsets]
        error = abs(offsets[int(np.argmax(seen))])
        assert 20e-6 * tone - 0.15 <= error <= 50e-6 * tone + 0.15


@pytest.mark.parametrize("shift_s", [-0.4, 0.25])
def test_shifted_mouth_is_late_by_the_stated_time(shift_s: float) -> None:
    settings = config(articulation={"token_sd": 0, "timing_sd_ms": 0, "residual_mm": 0})
    mouth = Mouth("ann", tuple(phones_of(2.5)), 2.5)
    times = np.arange(500) / 200

    def aperture(delay_s: float) -> np.ndarray:
        motion, origin = mouth_motion(mouth, 2.5, delay_s, settings, "take")
        return at_times(motion, times - origin)[1]

    still, moved = aperture(0.0), aperture(shift_s)
    lags = np.arange(-150, 151)
    core = slice(150, 350)
    match = [np.corrcoef(still[core], moved[150 + lag : 350 + lag])[0, 1] for lag in lags]
    assert lags[int(np.argmax(match))] / 200 == pytest.approx(shift_s, abs=0.011)
    # No seam: the shifted mouth never moves faster than the unshifted.
    assert np.abs(np.diff(moved)).max() < 1.6 * np.abs(np.diff(still)).max()


def test_shift_in_the_metadata_is_the_shift_of_the_job(corpus: Corpus) -> None:
    settings = config(kinds=ALL | {"shifted": 5})
    shifts = np.array([item.row.meta.model_extra["shift_ms"] for item in planned(corpus, settings, Kind.SHIFTED)])  # type: ignore[index]
    delays = np.array([item.job.delay_s for item in planned(corpus, settings, Kind.SHIFTED)])
    np.testing.assert_allclose(shifts / 1000, delays, atol=1e-6)
    assert np.abs(shifts).min() >= 120
    assert np.abs(shifts).max() <= 1000
    assert 0.2 < (shifts > 0).mean() < 0.8


@pytest.mark.parametrize("kind", list(KINDS))
def test_same_seed_same_samples_and_other_seed_others(corpus: Corpus, kind: Kind) -> None:
    one = samples_of(planned(corpus, config(), kind)[0].job, config())
    again = samples_of(planned(corpus, config(), kind)[0].job, config())
    other = samples_of(planned(corpus, config(seed=1), kind)[0].job, config(seed=1))
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.int16
    assert len(one) == len(other)
    assert not np.array_equal(one, other)


def test_a_recording_does_not_depend_on_the_others(corpus: Corpus) -> None:
    only_live = config(kinds=dict.fromkeys(KindNames, 0) | {"live": 1})
    of_all, alone = planned(corpus, config(), Kind.LIVE)[2], planned(corpus, only_live, Kind.LIVE)[2]
    np.testing.assert_array_equal(samples_of(of_all.job, config()), samples_of(alone.job, only_live))


def test_draws_that_do_not_make_the_kind_are_alike(corpus: Corpus) -> None:
    settings = config(distance_cm={"low": 4, "typical": 10, "high": 40}, distance_jitter=0.05, device={})
    one_of = {item.row.meta.model_extra["source"]: item.job for item in planned(corpus, settings, Kind.LIVE)}  # type: ignore[index]
    for kind in KINDS:
        for item in planned(corpus, settings, kind):
            live = one_of[item.row.meta.model_extra["source"]]  # type: ignore[index]
            assert item.job.session is not None
            assert item.job.session.device.name == live.session.device.name
            assert item.job.session.probe == live.session.probe
            assert item.job.posture == POSTURES.get(kind, live.posture)
            assert item.job.distance_m == pytest.approx(live.distance_m, rel=0.5)


def test_voice_has_the_same_level_live_and_replayed(corpus: Corpus) -> None:
    settings = config(kinds=ALL | {"live": 6, "replay_stand": 6}, speech={"level_dbfs": -28})
    for kind in (Kind.LIVE, Kind.REPLAY_STAND):
        items = planned(corpus, settings, kind)[::6]
        levels = [20 * np.log10(active_level(samples_of(item.job, settings) / 32768)) for item in items]
        assert np.mean(levels) == pytest.approx(-28, abs=2)


def test_swapped_mouth_is_another_utterance(corpus: Corpus) -> None:
    rows: dict[str, Row] = {row.id: row for row in corpus.rows}
    for share, same in ((1.0, True), (0.0, False)):
        settings = config(attack={"same_speaker_share": share})
        for item in planned(corpus, settings, Kind.SWAPPED_MOUTH):
            mouth = item.row.meta.model_extra["mouth"]  # type: ignore[index]
            source = item.row.meta.model_extra["source"]  # type: ignore[index]
            assert mouth != source
            assert (rows[mouth].speaker == rows[source].speaker) is same
            assert item.job.mouth.phones == tuple(corpus.phones[mouth])


def test_measured_motion_goes_before_phones_and_on_without_a_jump(corpus: Corpus) -> None:
    settings = config()
    phones = (Phone("SIL", 0.0, 1.0),)
    measured = mouth_motion(Mouth("ann", tuple(phones_of(1.0)), 1.0), 1.0, 0.0, settings, "m")[0]
    mouth = replace(Mouth("ann", phones, 1.0), measured=measured)
    motion, origin = mouth_motion(mouth, 2.4, 0.3, settings, "take")
    assert origin <= 0
    assert motion.duration_s + origin >= 2.4 - 0.02
    exact, _ = at_times(motion, 0.3 + np.arange(100) / 200 - origin)
    np.testing.assert_allclose(exact, measured.positions_m[:, :100], atol=1e-5)
    steps = np.abs(np.diff(motion.positions_m, axis=1)).max()
    assert steps <= np.abs(np.diff(measured.positions_m, axis=1)).max() * 1.001
