import errno
import os
import struct

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce import audio
from vivavoce.audio import audio_info, check_speech, read_audio, write_wav
from vivavoce.errors import UserError


def one_sentence(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert ". " not in text
    return text


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_info_and_samples_agree(make_wav, name, rate):
    path = make_wav(name, seconds=0.5, rate=rate)
    info = audio_info(path)
    samples, read_rate = read_audio(path)
    assert (info.sample_rate, info.channels) == (rate, 1)
    assert read_rate == rate
    assert samples.dtype == np.float32
    assert samples.shape == (info.samples,)
    assert info.duration_s == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_wav_subtypes_are_whole(make_wav, subtype):
    assert audio_info(make_wav(subtype=subtype, seconds=0.1)).samples == 4800


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus"])
@pytest.mark.parametrize("lost", [1, 7, 1000, 0.5, 0.9, 0.995])
def test_truncated_files_are_found(make_wav, name, lost):
    if name.endswith("opus"):
        path = make_wav("a.wav")
        samples, rate = sf.read(path)
        path = path.with_name(name)
        sf.write(path, samples, rate, format="OGG", subtype="OPUS")
    else:
        path = make_wav(name)
    size = path.stat().st_size
    audio_info(path)
    os.truncate(path, size - (lost if isinstance(lost, int) else int(size * lost)))
    with pytest.raises(UserError, match=r"truncated or damaged") as error:
        audio_info(path)
    assert str(path) in one_sentence(error)
    with pytest.raises(UserError, match=r"truncated or damaged"):
        read_audio(path)


def test_libsndfile_alone_would_accept_a_truncated_wav(make_wav):
    path = make_wav()
    os.truncate(path, path.stat().st_size // 2)
    assert sf.info(path).frames > 0  # why the data chunk is compared with the file


def test_odd_chunks_before_the_data_are_skipped(make_wav):
    path = make_wav(seconds=0.1)
    whole = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"
    path.write_bytes(whole[:36] + note + whole[36:])
    assert audio_info(path).samples == 4800
    path.write_bytes((whole[:36] + note + whole[36:])[:-2])
    with pytest.raises(UserError, match="truncated"):
        audio_info(path)


def test_a_wav_written_to_a_pipe_is_read(make_wav):
    path = make_wav(seconds=0.1)
    whole = bytearray(path.read_bytes())
    whole[4:8] = whole[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(whole)
    assert len(read_audio(path)[0]) == 4800


def test_rf64(make_wav, tmp_path):
    samples, rate = sf.read(make_wav(seconds=0.1))
    path = tmp_path / "long.wav"
    sf.write(path, samples, rate, format="RF64")
    assert path.read_bytes().startswith(b"RF64")
    assert audio_info(path).samples == 4800
    os.truncate(path, path.stat().st_size - 2)
    with pytest.raises(UserError, match="truncated"):
        audio_info(path)


def test_a_flac_without_a_length_is_refused(make_wav):
    path = make_wav("a.flac")
    whole = bytearray(path.read_bytes())
    whole[21] &= 0xF0  # STREAMINFO keeps the number of samples in 36 bits from here on
    whole[22:26] = bytes(4)
    path.write_bytes(whole)
    with pytest.raises(UserError, match="how long it is") as error:
        audio_info(path)
    one_sentence(error)


def bad_files(make_wav, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound\n" * 50)
    sf.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    sf.write(tmp_path / "aiff.wav", np.zeros(100), 16_000, format="AIFF")
    sf.write(tmp_path / "slow.wav", np.zeros(100), 7_999)
    sf.write(tmp_path / "fast.wav", np.zeros(100), 192_000)
    return {
        "missing.wav": "does not exist",
        "empty.wav": "is empty",
        "text.wav": "is not a sound file",
        "none.wav": "zero length",
        "aiff.wav": "convert it",
        "slow.wav": "7999 Hz",
        "fast.wav": "192000 Hz",
        ".": "is a folder",
    }


def test_every_bad_file_ends_in_one_sentence(make_wav, tmp_path):
    for name, words in bad_files(make_wav, tmp_path).items():
        for read in (audio_info, read_audio):
            with pytest.raises(UserError, match=words) as error:
                read(tmp_path / name)
            assert str(tmp_path) in one_sentence(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(make_wav):
    path = make_wav()
    path.chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        audio_info(path)


def test_channels(make_wav):
    path = make_wav(channels=2)
    both, _ = sf.read(path, dtype="float32")
    np.testing.assert_array_equal(read_audio(path)[0], both[:, 0])
    np.testing.assert_array_equal(read_audio(path, channel=1)[0], both[:, 1])
    np.testing.assert_allclose(read_audio(path, channel=None)[0], both.mean(axis=1), atol=1e-7)
    for channel in (2, -1):
        with pytest.raises(UserError, match=f"no channel {channel}") as error:
            read_audio(path, channel=channel)
        one_sentence(error)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_spans_are_pieces_of_the_whole(make_wav, name):
    path = make_wav(name, seconds=1.0)
    whole, rate = read_audio(path)
    piece, _ = read_audio(path, start_s=0.25, duration_s=0.5)
    np.testing.assert_allclose(piece, whole[rate // 4 : 3 * rate // 4], atol=1e-4)
    rest, _ = read_audio(path, start_s=0.9)
    np.testing.assert_allclose(rest, whole[round(0.9 * rate) :], atol=1e-4)


@pytest.mark.parametrize(("start_s", "duration_s"), [(1.0, None), (-0.1, 0.5), (0.5, 0.6), (0.2, 0.0), (0.2, -1.0)])
def test_spans_outside_the_file(make_wav, start_s, duration_s):
    path = make_wav(seconds=1.0)
    with pytest.raises(UserError, match="no span") as error:
        read_audio(path, start_s=start_s, duration_s=duration_s)
    one_sentence(error)


def test_a_span_may_overshoot_by_rounding(make_wav):
    assert len(read_audio(make_wav(seconds=1.0), start_s=0.5, duration_s=0.52)[0]) == 24_000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_a_float_wav(tmp_path, bad):
    samples = np.full(1000, 0.1, np.float32)
    samples[500] = bad
    sf.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    audio_info(tmp_path / "nan.wav")
    with pytest.raises(UserError, match="NaN") as error:
        read_audio(tmp_path / "nan.wav")
    one_sentence(error)


def six_hours(path):
    """A sparse 8-bit wav of 8 kHz that takes no room on the disk."""
    samples = 6 * 3600 * 8000
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", samples)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(header) + samples) + header)
    os.truncate(path, 8 + len(header) + samples)
    return path


def test_six_hours_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = six_hours(tmp_path / "day.wav")
    assert audio_info(path).duration_s == 6 * 3600
    monkeypatch.setattr(audio, "_read", lambda *_: pytest.fail("the samples were read"))
    with pytest.raises(UserError, match="6 hours long") as error:
        read_audio(path)
    one_sentence(error)


def test_a_span_of_a_long_file_is_read(tmp_path):
    samples, rate = read_audio(six_hours(tmp_path / "day.wav"), start_s=5 * 3600, duration_s=2.0)
    assert len(samples) == 2 * rate


def test_check_speech_accepts_speech(make_wav):
    for rate in (8_000, 48_000):
        samples, rate = read_audio(make_wav(rate=rate))
        check_speech(samples, rate, "a.wav")


def test_check_speech_refuses():
    rng = np.random.default_rng(0)
    fine = rng.normal(0, 0.1, 16_000).astype(np.float32)
    loud = np.clip(fine * 30, -1, 32_767 / 32_768)
    cases = [
        (np.zeros(16_000), 16_000, "every sample is zero"),
        (np.where(np.arange(16_000) == 9, np.nan, fine), 16_000, "NaN"),
        (loud, 16_000, "clipped"),
        (fine, 7_999, "7999 Hz"),
        (fine[:0], 16_000, "no samples"),
        (np.broadcast_to(np.float32(0.1), 6 * 3600 * 8_000), 8_000, "6 hours"),
        (np.broadcast_to(np.float32(0.1), 601 * 8_000), 8_000, "10 minutes"),
    ]
    for samples, rate, words in cases:
        with pytest.raises(UserError, match=words) as error:
            check_speech(samples, rate, "x.wav")
        assert one_sentence(error).startswith("x.wav")


@pytest.mark.parametrize(("share", "accepted"), [(0.009, True), (0.012, False)])
def test_clipping_starts_at_one_percent(share, accepted):
    samples = np.full(10_000, 0.5, np.float32)
    samples[: round(share * 10_000)] = -1.0
    if accepted:
        check_speech(samples, 16_000, "x.wav")
    else:
        with pytest.raises(UserError, match="clipped"):
            check_speech(samples, 16_000, "x.wav")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=300))
def test_sixteen_bits_survive_a_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("w") / "a.wav"
    samples = np.array(values, np.int16)
    for given_as in (samples, samples / 32_768.0):
        write_wav(path, given_as, 48_000)
        read, rate = read_audio(path)
        assert rate == 48_000
        np.testing.assert_array_equal(read * 32_768, samples)


def test_write_wav_saturates_and_refuses_what_is_no_signal(tmp_path):
    write_wav(tmp_path / "a.wav", np.array([2.0, -2.0]), 16_000)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0] * 32_768, [32_767, -32_768])
    for wrong in (np.zeros((2, 100)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="write_wav"):
            write_wav(tmp_path / "b.wav", wrong, 16_000)
    assert not (tmp_path / "b.wav").exists()


def test_a_full_disk_leaves_the_old_wav(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    write_wav(path, np.full(100, 0.5), 16_000)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio.wave.Wave_write, "writeframes", full)
    with pytest.raises(UserError, match="disk is full"):
        write_wav(path, np.zeros(100), 16_000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.realdata
def test_real_files_are_whole(shared_data):
    for pattern in ("speechocean_adult16k/00024*.flac", "noise_esc10/rain/*.ogg", "ravdess48k/03-01-01-01-0*-01.flac"):
        files = sorted(shared_data.glob(pattern))[:20]
        assert files
        for file in files:
            assert len(read_audio(file)[0]) == audio_info(file).samples
