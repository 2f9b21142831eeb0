"""What each augmentation does to a voice, and what it must leave alone."""

import numpy as np
import pytest
import scipy.signal
import soundfile as sf
import torch

from vivavoce.errors import UserError
from vivavoce.features.augment import AUGMENTATIONS, AugmentConfig, table
from vivavoce.features.augment.bank import Bank
from vivavoce.features.augment.codec import round_trip
from vivavoce.features.augment.level import active_power
from vivavoce.features.augment.room import BEFORE, DIRECT, aligned

from .voices import RATE, batch, envelope_lag_ms, syllables, waveform_lag_ms

# Every augmentation of the voice band, in each of its ways.
WAYS = {
    "noise": {"noise": {}},
    "rir": {"rir": {}},
    "far rir": {"rir": {"rt60_s": (0.6, 0.6), "direct_db": (6, 6)}},
    "handling": {"handling": {}},
    "volume": {"volume": {"gain_db": (10, 10)}},
    **{name: {"band_limit": {"kinds": [name]}} for name in ("telephone", "wideband", "low_pass", "high_pass")},
    **{name: {"codec": {"codecs": [name]}} for name in ("opus", "mulaw", "alaw", "gsm")},
}


def certain(config):
    """The config with every section's probability at 1."""
    return AugmentConfig.model_validate({name: {"probability": 1, **section} for name, section in config.items()})


def changed(config, *voices, seeds=None):
    wave, lengths = batch(*voices)
    out = certain(config).build().voice(wave, lengths, np.arange(len(voices)) if seeds is None else seeds)
    return [row[: len(voice)].numpy() for row, voice in zip(out, voices, strict=True)]


@pytest.mark.parametrize("way", WAYS)
def test_the_voice_stays_where_it_is(way):
    voices = [syllables(2.0, seed) for seed in range(6)]
    for before, after in zip(voices, changed(WAYS[way], *voices), strict=True):
        assert not np.array_equal(before, after)
        assert abs(waveform_lag_ms(before, after)) <= 1
        # Loud bumps are seen in the envelope, and move nothing.
        assert way == "handling" or abs(envelope_lag_ms(before, after)) <= 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("samples", [0, 1, 2, 15, 159, 161, 1000])
def test_short_and_silent_items_stay_finite(way, samples):
    voices = [syllables(1.0)[8000 : 8000 + samples], np.zeros(samples, np.float32), syllables(0.5)]
    for voice, after in zip(voices, changed(WAYS[way], *voices), strict=True):
        assert len(after) == len(voice)
        assert np.isfinite(after).all()
    assert np.abs(changed(WAYS[way], np.zeros(RATE, np.float32))[0]).max() < 1e-3  # a codec's own silence is not zero


def test_every_augmentation_says_what_it_does():
    rows = table()
    assert [row["name"] for row in rows] == list(AugmentConfig.model_fields)
    for row, step in zip(rows, AUGMENTATIONS, strict=True):
        assert row["what"].endswith(".")
        assert step.bands <= {"voice", "ultrasound"}
        assert "Bands:" in (step.__doc__ or "")
        assert "correlation label" in (step.__doc__ or "")


def test_volume_is_exact_and_clips_at_full_scale():
    voice = syllables(1.0, level=0.2)
    (louder,) = changed({"volume": {"gain_db": (6, 6)}}, voice)
    assert np.allclose(louder, np.clip(voice * 10**0.3, -1, 32767 / 32768), atol=1e-6)
    assert (np.abs(louder) > 0.999).any()
    (quieter,) = changed({"volume": {"gain_db": (-12, -12)}}, voice)
    assert np.allclose(quieter, voice * 10**-0.6, atol=1e-7)


@pytest.mark.parametrize(("kind", "kept", "lost"), [
    ("telephone", (400, 3000), [(0, 150), (4000, 8000)]),
    ("wideband", (100, 6500), [(0, 20), (7700, 8000)]),
    ("low_pass", (50, 2000), [(7800, 8000)]),
    ("high_pass", (1000, 8000), [(0, 30)]),
])  # fmt: skip
def test_band_limits(kind, kept, lost):
    voice = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    (after,) = changed({"band_limit": {"kinds": [kind]}}, voice)
    hertz, before_power = scipy.signal.welch(voice, RATE, nperseg=2048)
    gains_db = 10 * np.log10(scipy.signal.welch(after, RATE, nperseg=2048)[1] / before_power)
    assert np.abs(gains_db[(hertz > kept[0]) & (hertz < kept[1])]).max() < 2
    for low, high in lost:
        assert gains_db[(hertz >= low) & (hertz <= high)].max() < (-2 if kind == "low_pass" else -8)


def vowels():
    """Harmonics of a gliding pitch in syllables, all of them in the telephone band."""
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(130 + 20 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    voice = sum(np.sin(k * phase + k) / k for k in range(3, 22))
    return (0.1 * voice * (0.55 - 0.45 * np.cos(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.mark.parametrize("name", ["opus", "mulaw", "alaw", "gsm"])
def test_codecs_change_the_voice_but_keep_its_samples_in_place(name):
    voice = vowels()
    after = round_trip(voice, name, 24.0)
    assert len(after) == len(voice)
    assert np.corrcoef(voice, after)[0, 1] > 0.9
    assert np.abs(voice - after).max() > 1e-4


def test_opus_keeps_more_at_a_higher_rate():
    voice = syllables(2.0)
    errors = [np.square(round_trip(voice, "opus", kbps) - voice).mean() for kbps in (6.0, 16.0, 64.0, 256.0)]
    assert errors == sorted(errors, reverse=True)


def test_a_telephone_codec_ends_below_4_khz():
    hertz, power = scipy.signal.welch(round_trip(syllables(2.0), "alaw", 16.0), RATE, nperseg=1024)
    assert power[hertz > 4300].max() < 1e-4 * power[hertz < 3400].max()


def test_a_missing_codec_is_refused(monkeypatch):
    monkeypatch.setattr(sf, "available_subtypes", lambda container: {"PCM_16": ""})
    with pytest.raises(UserError, match=r"codec opus is not in the installed libsndfile .*codec\.codecs"):
        certain({"codec": {}}).build()


def measured_response(gap_s=0.03, rt60_s=0.4, rate=48_000, direct=0.7):
    """Silence, a direct sound, and a tail, as measuring across a room gives."""
    rng = np.random.default_rng(0)
    tail = rng.normal(0, 0.05, rate) * 10 ** (-3 * np.arange(rate) / rate / rt60_s)
    response = np.concatenate([np.zeros(round(gap_s * rate)), tail])
    response[round(gap_s * rate)] = direct
    return response


def test_a_room_keeps_the_power_and_lengthens_the_voice():
    voice = syllables(1.0)
    voice[RATE // 2 :] = 0
    (after,) = changed({"rir": {"rt60_s": (0.4, 0.4), "direct_db": (6, 6)}}, voice)
    assert np.square(after).sum() == pytest.approx(np.square(voice).sum(), rel=1e-4)
    decay_db = 10 * np.log10(np.square(after[RATE // 2 :]).reshape(-1, RATE // 20).sum(axis=1))
    assert np.polyfit(np.arange(5) / 20, decay_db[:5], 1)[0] == pytest.approx(-60 / 0.4, rel=0.1)
    assert np.abs(after[int(0.95 * RATE) :]).max() < 1e-7


def test_a_room_is_a_convolution_whose_direct_sound_is_first():
    click = np.zeros(RATE, np.float32)
    click[1000] = 1.0
    for after in changed({"rir": {"direct_db": (10, 10)}}, *[click] * 8):
        assert np.argmax(np.abs(after)) == 1000
        assert np.abs(after[:1000]).max() < 1e-6
        direct, rest = after[1000] ** 2, np.square(after[1001:]).sum()
        assert 10 * np.log10(direct / rest) == pytest.approx(10, abs=0.1)


def test_measured_rooms_are_aligned_and_set_to_the_distance_asked_for(tmp_path):
    for index, gap_s in enumerate((0.0, 0.03, 0.2)):
        sf.write(tmp_path / f"{index}.wav", measured_response(gap_s), 48_000)
    click = np.zeros(2 * RATE, np.float32)
    click[1000] = 1.0
    for after in changed({"rir": {"path": tmp_path, "direct_db": (8, 8)}}, *[click] * 12):
        assert np.argmax(np.abs(after)) == 1000
        assert np.abs(after[: 1000 - BEFORE - 1]).max() < 1e-6
        first = np.square(after[1000 - BEFORE : 1000 - BEFORE + DIRECT]).sum()
        assert 10 * np.log10(first / np.square(after[1000 - BEFORE + DIRECT :]).sum()) == pytest.approx(8, abs=0.1)


def test_what_is_no_impulse_response_is_refused(tmp_path):
    sf.write(tmp_path / "speech.wav", syllables(3.0), RATE)
    with pytest.raises(UserError, match=r"speech\.wav is no room impulse response"):
        certain({"rir": {"path": tmp_path}}).build().load()


@pytest.mark.realdata
def test_measured_rooms_of_the_world(shared_data):
    bank = Bank(shared_data / "rir_devicenoise", "impulse response")
    for path, samples in bank.sounds.items():
        if path.name.startswith("rir"):
            response = aligned(samples, path)
            assert np.abs(response[BEFORE]) >= 0.5 * np.abs(response).max()
            assert np.abs(response[:BEFORE]).max() < np.abs(response[BEFORE])
            assert np.square(response).sum() == pytest.approx(2, rel=1e-4)


def test_handling_comes_at_its_level_and_is_low():
    voice = np.concatenate([syllables(1.0, level=0.02), np.zeros(7 * RATE, np.float32)])
    (after,) = changed({"handling": {"level_db": (10, 10), "events_per_s": (0.1, 0.1)}}, voice)
    added = after - voice
    signal = float(active_power(torch.from_numpy(voice)[None], torch.tensor([len(voice)]))[0])
    sounding = np.square(added[np.abs(added) > 0])
    assert 10 * np.log10(sounding.mean() / signal) == pytest.approx(10, abs=1.5)
    assert 0.1 * RATE < len(sounding) < 5 * RATE


def test_handling_is_below_the_voice():
    voices = [syllables(4.0, seed) for seed in range(16)]
    added = np.stack(changed({"handling": {"events_per_s": (2, 2)}}, *voices)) - np.stack(voices)
    hertz, power = scipy.signal.welch(added, RATE, nperseg=2048)
    share = np.cumsum(power.sum(axis=0)) / power.sum()
    assert hertz[np.searchsorted(share, 0.5)] < 1000
    assert (np.abs(added) > 0).mean() < 0.9


def test_more_handling_where_more_is_asked_for():
    voices = [syllables(4.0, seed) for seed in range(16)]
    share = [
        np.mean(
            [
                (part != voice).mean()
                for part, voice in zip(changed({"handling": {"events_per_s": (r, r)}}, *voices), voices, strict=True)
            ]
        )
        for r in (0.01, 0.5, 4.0)
    ]
    assert 0 < share[0] < share[1] < share[2]


def test_handling_from_a_folder(tmp_path):
    tone = np.sin(2 * np.pi * 4000 * np.arange(RATE // 4) / RATE)
    sf.write(tmp_path / "tap.wav", 0.01 * tone, RATE)
    voice = syllables(2.0, level=0.02)
    (after,) = changed({"handling": {"path": tmp_path, "level_db": (0, 0)}}, voice)
    power = np.abs(np.fft.rfft(after - voice)) ** 2
    assert power[7800:8200].sum() > 0.99 * power.sum()
