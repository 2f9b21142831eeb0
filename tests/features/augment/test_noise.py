import numpy as np
import pytest
import scipy.signal
import soundfile as sf
import torch

from vivavoce.errors import UserError
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.augment.level import active_power
from vivavoce.features.augment.synthetic_noise import LTASS, synthesise

from .voices import RATE, batch, syllables


def noise(path, seconds=1.0, rate=44_100, level=0.05, seed=0, edge_hz=None):
    """A file of steady noise, white or below an edge."""
    wave = np.random.default_rng(seed).normal(0, level, round(seconds * rate))
    if edge_hz:
        wave = scipy.signal.sosfilt(scipy.signal.butter(4, edge_hz, fs=rate, output="sos"), wave)
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, wave, rate)
    return path


def added_noise(config, voices, seeds):
    wave, lengths = batch(*voices)
    out = AugmentConfig.model_validate({"noise": {"probability": 1, **config}}).build().voice(wave, lengths, seeds)
    return [row[: len(voice)].numpy() - voice for row, voice in zip(out, voices, strict=True)]


@pytest.mark.parametrize("source", ["white", "pink", "speech", "babble", "files", "mixed files"])
@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 25.0])
def test_the_ratio_is_the_one_asked_for(tmp_path, source, snr_db):
    config = {"snr_db": (snr_db, snr_db)}
    if "files" in source:
        for seed, suffix in enumerate(("wav", "flac", "ogg")):
            noise(tmp_path / f"{seed}" / f"n.{suffix}", rate=(8_000, 48_000, 44_100)[seed], seed=seed)
        config["path"] = tmp_path
        config["mix"] = (3, 3) if source == "mixed files" else (1, 1)
    else:
        config["kinds"] = [source]
    pause = np.zeros(RATE, np.float32)
    voices = [syllables(2.0, 1), np.concatenate([syllables(1.0, 2, level=0.002), pause, syllables(0.7, 3, 0.002)])]
    for voice, added in zip(voices, added_noise(config, voices, np.arange(2)), strict=True):
        signal = float(active_power(torch.from_numpy(voice)[None], torch.tensor([len(voice)]))[0])
        assert 10 * np.log10(signal / (added.astype(float) ** 2).mean()) == pytest.approx(snr_db, abs=0.1)


def test_ratios_spread_over_the_range():
    voices = [syllables(0.5)] * 64
    added = added_noise({"snr_db": (0, 20)}, voices, np.arange(64))
    signal = float(active_power(torch.from_numpy(voices[0])[None], torch.tensor([len(voices[0])]))[0])
    ratios = [10 * np.log10(signal / (part**2).mean()) for part in added]
    assert min(ratios) > -0.1
    assert max(ratios) < 20.1
    assert np.ptp(ratios) > 12


@pytest.mark.parametrize(("kind", "slope_db"), [("white", 0.0), ("pink", -3.0)])
def test_the_colour_of_the_noise(kind, slope_db):
    made = synthesise([kind] * 4, [np.random.default_rng(seed) for seed in range(4)], 65_536, torch.zeros(1))
    hertz, power = scipy.signal.welch(made.numpy(), RATE, nperseg=2048)
    octaves = [
        10 * np.log10(power[:, (hertz >= f) & (hertz < 2 * f)].mean()) for f in (125, 250, 500, 1000, 2000, 4000)
    ]
    assert np.polyfit(np.arange(6), octaves, 1)[0] == pytest.approx(slope_db, abs=0.3)


@pytest.mark.parametrize("kind", ["speech", "babble"])
def test_speech_shaped_noise_has_the_published_spectrum(kind):
    made = synthesise([kind] * 8, [np.random.default_rng(seed) for seed in range(8)], 131_072, torch.zeros(1))
    hertz, power = scipy.signal.welch(made.numpy(), RATE, nperseg=8192)
    power = (power / power.sum(axis=1, keepdims=True)).mean(axis=0)
    bands = [(f, level) for f, level in LTASS if 125 <= f <= 6300]
    got = np.array([10 * np.log10(power[(hertz >= f / 1.122) & (hertz < f * 1.122)].sum()) for f, _ in bands])
    apart = got - np.array([level for _, level in bands])
    assert np.abs(apart - apart.mean()).max() < 1.5


def test_babble_is_modulated_as_speech_is_and_shaped_noise_is_not():
    depth = {}
    for kind in ("speech", "babble"):
        made = synthesise([kind] * 4, [np.random.default_rng(seed) for seed in range(4)], 131_072, torch.zeros(1))
        levels_db = 10 * np.log10((made.numpy().reshape(4, -1, 2048) ** 2).mean(axis=2))
        depth[kind] = levels_db.std(axis=1).mean()
    assert depth["babble"] > depth["speech"] + 1.5


def test_a_mix_is_of_several_files(tmp_path):
    for index, edge in enumerate((300, 7000)):
        noise(tmp_path / f"{index}.wav", rate=16_000, seed=index, edge_hz=edge if index == 0 else None)
    one, both = (
        added_noise({"path": tmp_path, "mix": mix, "snr_db": (0, 0)}, [syllables(1.0)] * 24, np.arange(24))
        for mix in ((1, 1), (8, 8))
    )

    def low_share(added):
        return [(np.abs(np.fft.rfft(part))[:400] ** 2).sum() / (np.abs(np.fft.rfft(part)) ** 2).sum() for part in added]

    assert sorted({round(share) for share in low_share(one)}) == [0, 1]  # each of one file, and both files occur
    assert all(0.1 < share < 0.97 for share in low_share(both))


def test_a_pause_in_the_noise_is_not_blown_up(tmp_path):
    wave = np.zeros(20 * RATE)
    rng = np.random.default_rng(0)
    wave[:RATE], wave[-RATE:] = rng.normal(0, 0.1, (2, RATE))
    sf.write(tmp_path / "bark.wav", wave + rng.normal(0, 3e-5, len(wave)), RATE)
    voices = [syllables(0.5)] * 32
    signal = float(active_power(torch.from_numpy(voices[0])[None], torch.tensor([len(voices[0])]))[0])
    added = added_noise({"path": tmp_path, "snr_db": (10, 10)}, voices, np.arange(32))
    ratios = 10 * np.log10(signal / np.array([(part.astype(float) ** 2).mean() for part in added]))
    assert ratios.max() > 30
    assert ratios.min() > 9.5


def test_silence_gets_no_noise():
    (added,) = added_noise({}, [np.zeros(RATE, np.float32)], np.arange(1))
    assert not added.any()


def test_a_large_folder_gives_a_bounded_bank(tmp_path):
    for index in range(12):
        noise(tmp_path / f"{index}.wav", seconds=1.0, rate=16_000, seed=index)
    from vivavoce.features.augment.bank import Bank

    bank = Bank(tmp_path, "noise", seconds=5.0)
    assert len(bank.sounds) == 5
    assert bank.chosen == Bank(tmp_path, "noise", seconds=5.0).chosen
    assert sum(map(len, Bank(tmp_path, "noise", longest_s=0.25).sounds.values())) == 12 * RATE // 4


def test_files_are_read_at_the_first_use_and_once(tmp_path):
    path = noise(tmp_path / "n.wav")
    augment = AugmentConfig.model_validate({"noise": {"probability": 1, "path": tmp_path}}).build()
    wave, lengths = batch(syllables(0.5))
    before = augment.voice(wave, lengths, np.arange(1))
    path.unlink()
    assert torch.equal(augment.voice(wave, lengths, np.arange(1)), before)


@pytest.mark.parametrize("content", [b"", b"RIFF____WAVEfmt ", b"no sound at all", None])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = noise(tmp_path / "n.wav")
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    augment = AugmentConfig.model_validate({"noise": {"path": tmp_path}}).build()
    with pytest.raises(UserError, match=r"n\.wav"):
        augment.load()


def test_a_silent_folder_is_refused(tmp_path):
    sf.write(tmp_path / "n.wav", np.zeros(RATE), RATE)
    with pytest.raises(UserError, match=r"noise folder .* silent"):
        AugmentConfig.model_validate({"noise": {"path": tmp_path}}).build().load()


@pytest.mark.realdata
def test_recorded_noises(shared_data):
    voices = [syllables(2.0, seed) for seed in range(8)]
    added = added_noise({"path": shared_data / "noise_esc10", "snr_db": (10, 10)}, voices, np.arange(8))
    ratios = []
    for voice, part in zip(voices, added, strict=True):
        signal = float(active_power(torch.from_numpy(voice)[None], torch.tensor([len(voice)]))[0])
        ratios.append(10 * np.log10(signal / (part.astype(float) ** 2).mean()))
    assert min(ratios) > 9.5
    assert np.median(ratios) == pytest.approx(10, abs=0.1)
