from dataclasses import replace

import numpy as np
import pytest
import scipy.signal

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.attacks.waving import moved_body
from vivavoce.simulate.draws import generator
from vivavoce.simulate.plan import Corpus
from vivavoce.simulate.recording import FACTOR_RATE_HZ

from .made import config, moving_parts, planned, recorded, small_corpus

TIMES = np.arange(6000) / FACTOR_RATE_HZ


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("corpus"), each=2, seconds=1.5)


def dynamic_db(wave: np.ndarray, tones_hz: tuple[float, ...]) -> float:
    return float(10 * np.log10(np.mean([np.mean(np.abs(part) ** 2) for part in moving_parts(wave, tones_hz)])))


def test_moving_loudspeaker_has_the_doppler_that_a_still_one_lacks(corpus: Corpus) -> None:
    settings = config(Kind.REPLAY_STAND, Kind.REPLAY_MOVING)
    levels: dict[str, list[float]] = {}
    for item in planned(corpus, settings):
        levels.setdefault(item.job.kind, []).append(
            dynamic_db(recorded(item, settings), item.job.session.probe.tones_hz)
        )
    assert np.min(levels["replay_moving"]) > np.max(levels["replay_stand"]) + 10
    assert np.median(levels["replay_moving"]) > -35


def test_waved_body_moves_by_centimetres_at_its_rate_and_keeps_off_the_phone() -> None:
    settings = config(Kind.REPLAY_MOVING, attack={"wave_with_voice_share": 0})
    voice = np.zeros(480_000, dtype=np.float32)
    extents, middles = [], []
    for seed in range(30):
        _, path = moved_body(generator(seed, "w"), settings, 0.003, 0.4, voice, TIMES)
        extents.append(np.sqrt(np.mean(path**2)))
        power = (np.abs(np.fft.rfft(path, axis=0)) ** 2).sum(axis=1)
        hertz = np.fft.rfftfreq(len(path), 1 / FACTOR_RATE_HZ)
        middles.append(np.sum(power * hertz) / np.sum(power))
        speed = np.sqrt(np.mean(np.diff(path, axis=0) ** 2)) * FACTOR_RATE_HZ
        assert speed < 0.5
    assert 0.005 < np.min(extents) < np.max(extents) < 0.07
    assert 0.3 < np.min(middles) < np.max(middles) < 6
    for seed in range(20):
        body, path = moved_body(generator(seed, "w"), settings, 0.003, 0.06, voice, TIMES)
        assert np.linalg.norm(path, axis=1).max() <= 0.03 + 1e-9
        assert body.positions_m.shape == (4, len(TIMES), 3)


def test_turning_facets_swell_and_fade() -> None:
    settings = config(Kind.REPLAY_MOVING)
    swings = []
    for seed in range(20):
        body, _ = moved_body(generator(seed, "w"), settings, 0.003, 0.2, np.zeros(480_000, dtype=np.float32), TIMES)
        swings.append(body.strength[0].max() / body.strength[0].min())
        # Rigid: the facets' distances from each other never change.
        apart = np.linalg.norm(body.positions_m[1] - body.positions_m[2], axis=-1)
        assert np.ptp(apart) < 1e-9
    assert np.median(swings) > 2


def test_a_motion_may_follow_the_voice_loosely() -> None:
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.uniform(0, 1, 40), 12_000).astype(np.float32)
    voice = loud * rng.standard_normal(len(loud)).astype(np.float32)
    loudness = scipy.signal.resample_poly(loud, 1, 80)[: len(TIMES)]

    def match(share: float) -> np.ndarray:
        settings = config(Kind.REPLAY_MOVING, attack={"wave_with_voice_share": share})
        best = []
        for seed in range(12):
            _, path = moved_body(generator(seed, "w"), settings, 0.003, 0.3, voice, TIMES)
            lagged = [np.corrcoef(path[lag:, 0], loudness[: len(path) - lag])[0, 1] for lag in range(30, 180, 15)]
            best.append(max(lagged))
        return np.array(best)

    assert match(1).min() > 0.3
    assert match(1).max() < 0.9  # loosely
    assert np.median(match(0)) < 0.3


def test_cone_of_a_moving_loudspeaker_puts_the_voice_beside_the_tones(corpus: Corpus, monkeypatch) -> None:
    from vivavoce.simulate import loudspeaker

    settings = config(
        Kind.REPLAY_MOVING,
        **{"probe": {"tones": 1}, "speech": {"leakage_db_hz": -140}, "pools": {"loudspeakers": ["bookshelf"]}},
    )
    item = planned(corpus, settings)[0]
    bookshelf = loudspeaker.SIZES["bookshelf"].model_dump()
    waves = []
    for cone_dbc in (-40, -160):
        size = loudspeaker.LoudspeakerSize.model_validate(
            bookshelf | {"cone_dbc": cone_dbc, "second_db": -120, "third_db": -120}
        )
        monkeypatch.setitem(loudspeaker.SIZES, "bookshelf", size)
        waves.append(recorded(item, settings))
    lines = np.abs(np.fft.rfft((waves[0] - waves[1]) * np.blackman(len(waves[0])))) ** 2
    beside = np.abs(np.fft.rfftfreq(len(waves[0]), 1 / 48_000) - item.job.session.probe.tones_hz[0])
    assert lines[(beside > 150) & (beside < 500)].mean() > 30 * lines[beside < 30].mean()
    assert lines[(beside > 150) & (beside < 500)].mean() > 100 * lines[(beside > 5000) & (beside < 6000)].mean()


def test_tts_says_the_text_by_espeak_and_copies_the_voice_where_none_is_known(corpus: Corpus) -> None:
    pytest.importorskip("espeakng_loader")
    unknown = replace(corpus, rows=[replace(row, text=None) for row in corpus.rows[:2]])
    known = replace(corpus, rows=corpus.rows[:2])
    settings = config(Kind.TTS)
    for rows, by in ((known, "espeak-ng"), (unknown, "vocoder")):
        for item in planned(rows, settings):
            assert item.row.meta.model_extra["synthesis"] == by  # type: ignore[index]
            assert item.row.meta.loudspeaker is not None
            wave = recorded(item, settings)
            assert len(wave) == item.job.samples
            assert np.sqrt(np.mean(wave**2)) > 0.003
            np.testing.assert_array_equal(wave, recorded(item, settings))


def test_tts_in_a_hand_moves_and_on_a_stand_does_not(corpus: Corpus) -> None:
    def level(share: float) -> float:
        settings = config(Kind.TTS, attack={"tts_in_hand_share": share})
        unknown = replace(corpus, rows=[replace(row, text=None) for row in corpus.rows[:2]])
        items = planned(unknown, settings)
        return float(np.median([dynamic_db(recorded(i, settings), i.job.session.probe.tones_hz) for i in items]))

    assert level(1) > level(0) + 12
