import numpy as np
import pytest
import scipy.signal

from vivavoce.corpus.metadata import Kind
from vivavoce.signal.quality import probe_quality
from vivavoce.simulate.attacks.jamming import JAM_HZ, band_noise, sweeps, warbled_tones
from vivavoce.simulate.plan import Corpus

from .made import config, planned, recorded, small_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("make", [warbled_tones, sweeps, band_noise])
def test_jams_fill_the_probes_band_and_nothing_else(make) -> None:
    wave = make(np.random.default_rng(0), 96_000)
    assert wave.shape == (96_000,)
    assert wave.dtype == np.float32
    hertz, density = scipy.signal.welch(wave, 48_000, nperseg=4800, window="blackmanharris")
    inside = (hertz > JAM_HZ[0] + 150) & (hertz < JAM_HZ[1] - 150)
    outside = (hertz < JAM_HZ[0] - 300) | (hertz > JAM_HZ[1] + 300)
    assert density[inside].sum() > 0.75 * density.sum()
    assert density[outside].max() < 1e-3 * density[inside].mean()
    # Nowhere in the band is there a quiet stretch in which a tone of the probe could be read.
    smooth = np.convolve(density, np.ones(14) / 14, "same")  # 140 Hz
    assert smooth[inside].min() > 0.03 * smooth[inside].mean()


def unusable(corpus: Corpus, count: int) -> float:
    phones = {"gain_control_share": 0.5}
    settings = config(Kind.PROBE_JAMMED, count=count, device=phones, distance_cm={"low": 4, "typical": 10, "high": 40})
    items = planned(corpus, settings)
    judged = [probe_quality(recorded(i, settings), 48_000, i.job.session.probe.tones_hz).usable for i in items]
    return 1 - float(np.mean(judged))


def test_a_jammed_probe_is_not_usable(corpus: Corpus) -> None:
    assert unusable(corpus, 2) == 1.0


@pytest.mark.slow
def test_hardly_any_jammed_probe_is_usable(corpus: Corpus) -> None:
    assert unusable(corpus, 20) >= 0.99


def test_the_same_recording_without_a_jam_is_usable(corpus: Corpus) -> None:
    settings = config(Kind.LIVE)
    for item in planned(corpus, settings)[:3]:
        assert probe_quality(recorded(item, settings), 48_000, item.job.session.probe.tones_hz).usable
