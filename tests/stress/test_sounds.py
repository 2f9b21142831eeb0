"""What makes a recording worse does what its level says, and moves nothing in time."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from vivavoce.audio import write_wav
from vivavoce.errors import UserError
from vivavoce.signal.tones import holds_band
from vivavoce.stress.codecs import Codec
from vivavoce.stress.noise import Folder, Made, MadeNoise, active_voice_power, voice_band_power
from vivavoce.stress.sounds import AddNoise, Crop, Degradation, Gain, LimitBand, RecordAt, Sound

from .made import RATE, TONES_HZ, speech_like

ALL_CODECS = (
    "opus-64",
    "opus-16",
    "mp3-128",
    "mp3-48",
    "mp3-32",
    "vorbis-5",
    "vorbis-0",
    "opus-6",
    "alaw",
    "mulaw",
    "gsm",
)
SAME_LENGTH: dict[str, Degradation] = {
    **{name: Codec.named(name) for name in ALL_CODECS},
    **{f"{rate} Hz": RecordAt(rate) for rate in (44_100, 32_000, 16_000, 8_000)},
    "band": LimitBand(300, 3400),
    "noise": AddNoise(20, Made("pink")),
    "gain": Gain(-20),
}


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
@pytest.mark.parametrize("name", SAME_LENGTH)
def test_nothing_is_longer_or_later(name: str, rate: int) -> None:
    samples = speech_like(1.0, rate, probe=False)
    worse = SAME_LENGTH[name].apply(Sound(samples, rate), rng())
    assert len(worse.samples) / worse.rate == pytest.approx(len(samples) / rate, abs=1 / worse.rate)
    # Both at one rate and in the band that all of them keep, so that only time is compared.
    telephone = LimitBand(400, 3000)
    before, after = (
        np.asarray(soxr.resample(telephone.apply(Sound(sound.samples, sound.rate), rng()).samples, sound.rate, 16_000))
        for sound in (Sound(samples, rate), worse)
    )
    size = min(len(before), len(after))
    lag = int(np.argmax(correlate(after[:size], before[:size], method="fft"))) - (size - 1)
    assert abs(lag) <= 8  # half a millisecond: a twentieth of a frame


@pytest.mark.parametrize("rate", [48_000, 16_000])
@settings(max_examples=15)
@given(snr_db=st.floats(-10, 40), kind=st.sampled_from(["pink", "white", "babble"]), seed=st.integers(0, 1000))
def test_the_ratio_is_the_one_asked_for(rate: int, snr_db: float, kind: MadeNoise, seed: int) -> None:
    samples = speech_like(1.0, rate, seed=seed % 5)
    worse = AddNoise(snr_db, Made(kind)).apply(Sound(samples, rate), np.random.default_rng(seed)).samples
    # The same noise drawn again tells how far the whole was turned down to stay below full scale.
    noise = Made(kind).draw(len(samples), rate, np.random.default_rng(seed))
    parts = np.stack([samples, noise], axis=1).astype(float)
    scale = float(np.linalg.lstsq(parts, worse.astype(float), rcond=None)[0][0])
    added = worse - scale * samples
    found_db = 10 * np.log10(active_voice_power(scale * samples, rate) / voice_band_power(added, rate))
    assert found_db == pytest.approx(snr_db, abs=0.1)


def test_noise_reaches_the_ultrasound_as_its_kind_does() -> None:
    shares = {}
    for kind in ("white", "pink", "babble"):
        power = np.abs(np.fft.rfft(Made(kind).draw(2 * RATE, RATE, rng()))) ** 2
        shares[kind] = power[2 * 17_000 :].sum() / power.sum()
    assert shares["white"] == pytest.approx(7 / 24, rel=0.05)
    assert shares["pink"] == pytest.approx(np.log(24 / 17) / (1 + np.log(24_000 / 20)), rel=0.3)
    assert shares["babble"] < 1e-4


def test_silence_gets_no_noise() -> None:
    silence = np.zeros(RATE, np.float32)
    assert not AddNoise(0, Made("white")).apply(Sound(silence, RATE), rng()).samples.any()


def test_the_same_seed_gives_the_same_noise_and_another_one_another() -> None:
    sound, degradation = Sound(speech_like(), RATE), AddNoise(5, Made("babble"))
    first, again, other = (degradation.apply(sound, np.random.default_rng(seed)).samples for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_noise_of_a_folder(tmp_path) -> None:
    write_wav(tmp_path / "silent.wav", np.zeros(16_000, np.int16), 16_000)
    write_wav(tmp_path / "hum.wav", 0.1 * np.sin(np.arange(8_000) * 0.2), 16_000)
    folder = Folder.of(tmp_path)
    assert folder.without_ultrasound == 2
    samples = speech_like()
    worse = AddNoise(10, folder).apply(Sound(samples, RATE), rng()).samples
    found_db = 10 * np.log10(active_voice_power(samples, RATE) / voice_band_power(worse - samples, RATE))
    assert found_db == pytest.approx(10, abs=0.1)
    (tmp_path / "hum.wav").unlink()
    with pytest.raises(UserError, match="silent"):
        AddNoise(10, Folder.of(tmp_path)).apply(Sound(samples, RATE), rng())
    with pytest.raises(UserError, match="does not exist"):
        Folder.of(tmp_path / "none")


@settings(max_examples=30)
@given(seconds=st.floats(0.1, 3.0))
def test_a_crop_is_the_middle_and_says_where_it_began(seconds: float) -> None:
    samples = np.arange(2 * 16_000, dtype=np.float32)
    cut = Crop(seconds).apply(Sound(samples, 16_000), rng())
    assert len(cut.samples) == min(len(samples), round(seconds * 16_000))
    first = round(cut.start_s * 16_000)
    assert np.array_equal(cut.samples, samples[first : first + len(cut.samples)])
    assert abs(first - (len(samples) - first - len(cut.samples))) <= 1


def test_rates_below_the_probe_hold_no_band_and_higher_ones_change_nothing() -> None:
    sound = Sound(speech_like(), RATE)
    assert RecordAt(96_000).apply(sound, rng()) is sound
    assert holds_band(RecordAt(44_100).apply(sound, rng()).rate)
    assert not holds_band(RecordAt(32_000).apply(sound, rng()).rate)


def test_a_band_limit_leaves_the_probe_alone_and_takes_the_rest() -> None:
    samples = speech_like()
    worse = LimitBand(300, 3400).apply(Sound(samples, RATE), rng()).samples
    before, after = (20 * np.log10(np.abs(np.fft.rfft(x)) + 1e-9) for x in (samples, worse))
    bins = [round(hertz * len(samples) / RATE) for hertz in TONES_HZ]
    assert np.allclose(before[bins], after[bins], atol=0.1)
    high = slice(round(5_000 * len(samples) / RATE), round(8_000 * len(samples) / RATE))
    assert np.median(after[high]) < np.median(before[high]) - 20


@settings(max_examples=30)
@given(gain_db=st.floats(-60, 40))
def test_a_gain_clips_and_rounds_as_a_converter_does(gain_db: float) -> None:
    samples = speech_like(0.2)
    worse = Gain(gain_db).apply(Sound(samples, RATE), rng()).samples
    assert np.abs(worse).max() <= 1
    assert np.array_equal(np.rint(worse * 32_768), worse * 32_768)
    assert np.abs(worse - np.clip(samples * 10 ** (gain_db / 20), -1, 32_767 / 32_768)).max() <= 0.51 / 32_768


@pytest.mark.parametrize("text", ["opus", "opus-5", "opus-300", "mp3-16", "vorbis-11", "aac-64", "alaw-8", ""])
def test_codecs_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"codec|can be given"):
        Codec.named(text)


def test_a_low_rate_takes_the_probe_and_a_high_one_leaves_it() -> None:
    samples = speech_like()
    level = {}
    for name in ("mp3-48", "mp3-256"):
        spectrum = np.abs(np.fft.rfft(Codec.named(name).apply(Sound(samples, RATE), rng()).samples))
        level[name] = spectrum[round(TONES_HZ[0] * len(samples) / RATE)]
    assert level["mp3-48"] < 0.01 * level["mp3-256"]
