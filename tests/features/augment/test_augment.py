"""The whole chain: each item depends on itself alone; speeds; errors; what a run needs of it."""

import pickle

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vivavoce.errors import UserError
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.augment.fourier import block_size
from vivavoce.settings import load_settings

from .voices import RATE, batch, syllables

# Everything at once, each often but not always applied. Opus and GSM amplify a difference of one bit.
ALL = {
    "noise": {"probability": 0.7, "mix": (1, 3)},
    "rir": {"probability": 0.7},
    "handling": {"probability": 0.7},
    "volume": {"probability": 0.7, "gain_db": (-20, 20)},
    "band_limit": {"probability": 0.7},
    "codec": {"probability": 0.5},
}
VOICES = [syllables(seconds, seed) for seed, seconds in enumerate((0.6, 0.0, 1e-4, 0.02, 0.31, 0.6, 1.0))]
SEEDS = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def augment():
    return AugmentConfig.model_validate(ALL).build()


def alone(augment, voice, seed, padding=0):
    wave = torch.nn.functional.pad(torch.from_numpy(voice), (0, padding), value=3.0)[None]
    return augment.voice(wave, torch.tensor([len(voice)]), np.array([seed]))[0]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(VOICES) - 1), SEEDS, st.integers(0, 20_000)), min_size=1, max_size=5))
def test_an_item_depends_on_its_samples_and_its_seed_alone(items):
    augment = AugmentConfig.model_validate(ALL).build()
    wave, lengths = batch(*(VOICES[which] for which, _, _ in items))
    together = augment.voice(wave, lengths, np.array([seed for _, seed, _ in items]))
    assert together.shape == wave.shape
    for row, (which, seed, padding) in zip(together, items, strict=True):
        size = len(VOICES[which])
        assert torch.equal(row[:size], alone(augment, VOICES[which], seed, padding)[:size])
        assert not row[size:].any()
        assert torch.isfinite(row).all()


@pytest.mark.parametrize("name", ALL)
def test_each_step_is_exact_in_any_batch(name):
    augment = AugmentConfig.model_validate({name: {**ALL[name], "probability": 1}}).build()
    expected = [alone(augment, VOICES[0], seed) for seed in range(6)]
    for size in (2, 3, 5, 6):
        wave, lengths = batch(*[VOICES[0]] * size)
        together = augment.voice(wave, lengths, np.arange(size))
        assert all(torch.equal(*pair) for pair in zip(together, expected, strict=False))


@settings(max_examples=10, deadline=None)
@given(samples=st.integers(0, 24_000), seed=SEEDS)
def test_every_length_and_seed(augment, samples, seed):
    voice = syllables(2.5, 9)[:samples]
    once, again = (alone(augment, voice, seed, padding) for padding in (0, 7))
    assert torch.equal(once, again[:samples])
    assert torch.isfinite(once).all()


def test_other_seeds_change_other_things(augment):
    wave, lengths = batch(*[VOICES[0]] * 8)
    out = augment.voice(wave, lengths, np.arange(8))
    assert len({row.numpy().tobytes() for row in out}) == 8


def test_switching_one_augmentation_on_leaves_the_draws_of_the_others():
    wave, lengths = batch(*VOICES)
    seeds = np.arange(len(VOICES))
    louder = {"volume": {"probability": 0.5, "gain_db": (-12, -12)}}
    with_one = AugmentConfig.model_validate(louder).build().voice(wave, lengths, seeds)
    with_both = AugmentConfig.model_validate({**louder, "speed": {}, "rir": {"probability": 1e-9}}).build()
    assert torch.equal(with_one, with_both.voice(wave, lengths, seeds))


def test_the_input_is_left_alone(augment):
    wave, lengths = batch(*VOICES)
    before = wave.clone()
    augment.voice(wave, lengths, np.arange(len(VOICES)))
    assert torch.equal(wave, before)


@pytest.mark.parametrize("name", ALL)
def test_probability_is_the_share_of_recordings(name):
    voices = [syllables(0.25, 1)] * 120
    wave, lengths = batch(*voices)
    section = {"codecs": ["mulaw"]} if name == "codec" else {}
    for probability, least, most in ((0.0, 0, 0), (0.3, 18, 56), (1.0, 120, 120)):
        config = AugmentConfig.model_validate({name: {"probability": probability, **section}})
        assert config.is_identity == (probability == 0)
        out = config.build().voice(wave, lengths, np.arange(120))
        assert least <= int((out != wave).any(dim=1).sum()) <= most


def test_nothing_switched_on_changes_nothing():
    config = AugmentConfig()
    assert config.is_identity
    augment = config.build()
    wave, lengths = batch(*VOICES)
    out = augment.voice(wave, lengths, np.arange(len(VOICES)))
    for row, voice in zip(out, VOICES, strict=True):
        assert np.array_equal(row[: len(voice)].numpy(), voice)
        assert not row[len(voice) :].any()
    assert augment.speed_factors == (1.0,)
    assert augment.speeds(np.arange(5)).tolist() == [1.0] * 5


def test_seeds_and_lengths_must_fit_the_batch(augment):
    with pytest.raises(ValueError, match="2 items need as many lengths and seeds, not 2, 3"):
        augment.voice(torch.zeros(2, 100), torch.tensor([100, 100]), np.arange(3))


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 5000, 65_536, 65_537, 10**6])
def test_a_block_holds_its_samples_and_little_more(samples):
    assert samples <= block_size(samples) <= max(256, 1.25 * samples)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", [name for name in ALL if name != "codec"])
def test_a_gpu_gives_the_same(name):
    augment = AugmentConfig.model_validate({name: {**ALL[name], "probability": 1}}).build()
    wave, lengths = batch(*VOICES)
    seeds = np.arange(len(VOICES))
    there = augment.voice(wave.cuda(), lengths.cuda(), seeds)
    assert there.is_cuda
    assert torch.allclose(there.cpu(), augment.voice(wave, lengths, seeds), atol=1e-5)


# Speed


def speed_config(**section):
    return AugmentConfig.model_validate({"speed": section})


def test_speeds_are_drawn_as_often_as_asked_for():
    augment = speed_config(probability=0.5, factors=(0.9, 1.1, 1.5), weights=(1, 2, 1)).build()
    speeds = augment.speeds(np.arange(4000))
    assert augment.speed_factors == (1.0, 0.9, 1.1, 1.5)
    for factor, share in ((1.0, 0.5), (0.9, 0.125), (1.1, 0.25), (1.5, 0.125)):
        assert np.mean(speeds == factor) == pytest.approx(share, abs=0.03)


@given(st.lists(SEEDS, min_size=1, max_size=5))
def test_a_speed_depends_on_its_own_seed(seeds):
    augment = speed_config().build()
    together = augment.speeds(np.array(seeds))
    assert together.tolist() == [augment.speeds(np.array([seed]))[0] for seed in seeds]


@pytest.mark.parametrize(("section", "factors"), [
    ({"probability": 1.0, "factors": (0.9, 1.1)}, (0.9, 1.1)),
    ({"probability": 1.0, "factors": (1.1, 1.0)}, (1.0, 1.1)),
    ({"probability": 0.2, "factors": (1.1, 1.0)}, (1.0, 1.1)),
    ({"probability": 0.0}, (1.0,)),
])  # fmt: skip
def test_speed_factors_are_those_that_can_be_drawn(section, factors):
    augment = speed_config(**section).build()
    assert augment.speed_factors == factors
    assert set(augment.speeds(np.arange(200)).tolist()) == set(factors)


# What a run needs


def test_it_can_be_sent_to_another_process(tmp_path):
    sf.write(tmp_path / "n.wav", np.random.default_rng(0).normal(0, 0.1, 30 * RATE), RATE)
    config = {"noise": {"path": tmp_path}, "handling": {"path": tmp_path}, **{n: ALL[n] for n in ("rir", "codec")}}
    augment = AugmentConfig.model_validate(config).build().load()
    wave, lengths = batch(*VOICES)
    expected = augment.voice(wave, lengths, np.arange(len(VOICES)))
    sent = pickle.dumps(augment)
    assert len(sent) < 10_000  # without the sounds
    assert torch.equal(pickle.loads(sent).voice(wave, lengths, np.arange(len(VOICES))), expected)


def test_the_fingerprint_tells_configs_and_sounds_apart_but_not_places(tmp_path):
    rng = np.random.default_rng(0)

    def folder(name, *waves):
        (tmp_path / name).mkdir()
        for index, wave in enumerate(waves):
            sf.write(tmp_path / name / f"{index}.wav", wave, RATE)
        return {"noise": {"path": tmp_path / name}}

    one, other = rng.normal(0, 0.1, (2, RATE))
    configs = [folder("a", one), folder("b", one), folder("c", other), folder("d", one, other), ALL, {}]
    prints = [AugmentConfig.model_validate(config).build().fingerprint() for config in configs]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 5


def test_other_precisions_come_back_as_they_came(augment):
    wave, lengths = batch(*VOICES)
    for dtype in (torch.float64, torch.float16):
        assert augment.voice(wave.to(dtype), lengths, np.arange(len(VOICES))).dtype == dtype


# Mistakes


@pytest.mark.parametrize(("setting", "words"), [
    ("noise.snr_db=[20, 5]", ["noise.snr_db", "lower and then its upper end, not 20 and 5"]),
    ("noise.snr_db=[0, .inf]", ["noise.snr_db"]),
    ("noise.probability=1.5", ["noise.probability", "less than or equal to 1"]),
    ("rir.probability=-0.1", ["rir.probability", "greater than or equal to 0"]),
    ("noise.kinds=[brown]", ["noise.kinds", "white"]),
    ("noise.mix=[3, 1]", ["noise.mix", "fewest"]),
    ("noise.snr=[5, 20]", ["noise.snr", "snr_db"]),
    ("codec.codecs=[amr]", ["codec.codecs", "opus", "gsm"]),
    ("codec.opus_kbps=[1, 8]", ["codec.opus_kbps", "6 to 256 kbit/s"]),
    ("speed.factors=[3.0]", ["speed.factors", "between 0.5 and 2"]),
    ("speed.factors=[0.905]", ["speed.factors", "hundredths"]),
    ("speed.factors=[0.9, 0.9]", ["speed.factors", "weights"]),
    ("speed.weights=[1]", ["speed", "2 factors need as many weights, not 1"]),
    ("rir.rt60_s=[0.3, 5]", ["rir", "rt60_s must lie between 0.05 and 1 s"]),
    ("band_limit.low_pass_hz=[3000, 9000]", ["band_limit.low_pass_hz", "8000 Hz"]),
    ("band_limit.high_pass_hz=[0, 90]", ["band_limit.high_pass_hz", "above 0"]),
    ("handling.events_per_s=[-1, 1]", ["handling.events_per_s", "above 0"]),
    ("sound.x=1", ["sound", "volume"]),
])  # fmt: skip
def test_a_wrong_setting_is_named_in_one_sentence(setting, words):
    with pytest.raises(UserError) as caught:
        load_settings(AugmentConfig, overrides=[setting])
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", ["noise", "rir", "handling"])
def test_an_empty_or_missing_folder_is_refused_before_anything_starts(tmp_path, section):
    (tmp_path / "notes.txt").write_text("no sound")
    for folder, words in ((tmp_path, "holds no wav, flac or ogg files"), (tmp_path / "gone", "does not exist")):
        with pytest.raises(UserError, match=words) as caught:
            AugmentConfig.model_validate({section: {"path": folder}}).build()
        assert str(folder) in str(caught.value)


def test_a_setting_of_synthesised_sounds_beside_a_folder_is_refused(tmp_path):
    for section in ({"noise": {"kinds": ["pink"]}}, {"rir": {"rt60_s": (0.1, 0.2)}}):
        ((name, settings_of_it),) = section.items()
        with pytest.raises(ValidationError, match="leave out either it or path"):
            AugmentConfig.model_validate({name: {"path": tmp_path, **settings_of_it}})


def test_a_config_survives_being_written_down(tmp_path):
    config = AugmentConfig.model_validate({**ALL, "speed": {}, "noise": {"path": tmp_path}})
    assert AugmentConfig.model_validate_json(config.model_dump_json()) == config
