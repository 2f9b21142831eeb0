"""Alignment: phones where they are spoken, for any text; a cache that forgets nothing and survives a crash."""

import json
import multiprocessing
from itertools import pairwise

import numpy as np
import pytest

from vivavoce.audio import write_wav
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.errors import UserError
from vivavoce.simulate import alignment
from vivavoce.simulate.alignment import AlignmentCache, align
from vivavoce.simulate.phonemes import PHONEMES, Phone

TEXT = "Bob gave me a big apple"


@pytest.fixture(scope="module")
def wave16k():
    pytest.importorskip("espeakng_loader")
    import soxr

    from vivavoce.simulate.espeak import VoiceSettings, synthesize

    wave, rate, _ = synthesize(TEXT, VoiceSettings("en-us+m3", 150))
    wave = soxr.resample(wave, rate, 16000)
    return np.concatenate([np.zeros(4800, np.float32), wave, np.zeros(4800, np.float32)])


def check_cover(phones: list[Phone], duration_s: float) -> None:
    assert {p.name for p in phones} <= set(PHONEMES)
    assert phones[0].start_s == 0.0
    assert phones[-1].end_s == pytest.approx(duration_s)
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in pairwise(phones))
    assert all(p.end_s > p.start_s for p in phones)


def names(phones: list[Phone]) -> str:
    return " ".join(p.name for p in phones if p.name != "SIL")


def test_forced_alignment_says_the_dictionary_s_phones(wave16k):
    phones = align(wave16k, "Bob, GAVE me -- a big apple!")
    check_cover(phones, len(wave16k) / 16000)
    assert names(phones) == "B AA B G EY V M IY AH B IH G AE P AH L"
    assert 0.2 < phones[0].end_s < 0.45


def test_result_depends_on_this_utterance_alone(wave16k):
    first = align(wave16k, TEXT)
    align(0.01 * np.random.default_rng(0).standard_normal(32000).astype(np.float32), "something else")
    align(wave16k, None)
    assert align(wave16k, TEXT) == first


def test_unknown_words_are_spelled(wave16k):
    phones = align(wave16k, "Bobb gaive me a big appel")
    assert names(phones).startswith("B AA B G EY V M IY")
    check_cover(phones, len(wave16k) / 16000)


@pytest.mark.parametrize("text", [None, "", "...", "鲍勃给了我一个苹果", "Bob gave me 7 apples"])
def test_what_has_no_letters_to_speak_is_heard_by_the_phone_loop(wave16k, text):
    phones = align(wave16k, text)
    check_cover(phones, len(wave16k) / 16000)
    assert phones == align(wave16k, None)
    assert 8 <= len(names(phones).split()) <= 24


def test_a_text_that_cannot_fit_falls_back(wave16k):
    text = "this text is far too long to be said in so short a time " * 6
    assert align(wave16k, text) == align(wave16k, None)


@pytest.mark.parametrize("samples", [1, 100, 1599, 1600, 4000])
@pytest.mark.parametrize("text", [None, TEXT])
def test_short_and_silent_waves_give_silence_not_an_error(samples, text):
    phones = align(np.zeros(samples, np.float32), text)
    check_cover(phones, samples / 16000)


# --- the cache -------------------------------------------------------------------------------------------------------


def make_row(folder, name: str, seed: int, text: str | None = None, seconds: float = 0.5) -> Row:
    path = folder / f"{name}.wav"
    if not path.exists():
        write_wav(path, (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 8000))).astype("f4"), 8000)
    return Row(
        **{"id": name, "path": path, "speaker": "s", "text": text, "start_s": 0.0, "duration_s": seconds},
        **{"sample_rate": 8000, "channel": 0, "meta": Metadata()},
    )


@pytest.fixture
def counted(monkeypatch):
    """Stand in for the decoder, and count how often it is asked."""
    calls = []

    def fake(wave, text):
        calls.append(text)
        return [Phone("AA", 0.0, len(wave) / 16000)]

    monkeypatch.setattr(alignment, "align", fake)
    return calls


def test_only_what_is_missing_is_aligned_again(tmp_path, counted):
    rows = [make_row(tmp_path, f"r{i}", i) for i in range(3)]
    path = tmp_path / "cache" / "alignments.jsonl"
    first = AlignmentCache(path).get_many(rows, workers=1)
    assert len(counted) == 3
    assert set(first) == {"r0", "r1", "r2"}
    assert first["r0"] == [Phone("AA", 0.0, 0.5)]
    rows.append(make_row(tmp_path, "r3", 3))
    again = AlignmentCache(path).get_many(rows, workers=1)
    assert len(counted) == 4
    assert {key: again[key] for key in first} == first


def test_the_key_is_sound_text_and_method_not_the_name(tmp_path, counted, monkeypatch):
    cache = AlignmentCache(tmp_path / "a.jsonl")
    cache.get_many([make_row(tmp_path, "a", 1)], workers=1)
    cache.get_many([make_row(tmp_path, "b", 1)], workers=1)  # the same sound by another name
    assert len(counted) == 1
    cache.get_many([make_row(tmp_path, "a", 1, text="other")], workers=1)
    assert len(counted) == 2
    cache.get_many([make_row(tmp_path, "c", 2)], workers=1)
    assert len(counted) == 3
    monkeypatch.setattr(alignment, "METHOD", "a later method")
    cache.get_many([make_row(tmp_path, "a", 1)], workers=1)
    assert len(counted) == 4


def test_torn_lines_cost_only_themselves(tmp_path, counted):
    rows = [make_row(tmp_path, f"r{i}", i) for i in range(3)]
    path = tmp_path / "a.jsonl"
    AlignmentCache(path).get_many(rows, workers=1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 20])  # the crash of a writer
    cache = AlignmentCache(path)
    assert len(cache) == 2
    cache.get_many(rows, workers=1)
    assert len(counted) == 4
    assert len(AlignmentCache(path)) == 3


def _append_many(path, first: int) -> None:
    cache = AlignmentCache(path)
    for i in range(first, first + 200):
        cache._append(f"key{i}", [Phone("AA", 0.0, float(i))] * 50)


def test_several_processes_may_append(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append_many, args=(tmp_path / "a.jsonl", 200 * i)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(AlignmentCache(tmp_path / "a.jsonl")) == 600


def test_phones_known_from_elsewhere_need_no_alignment(tmp_path, counted):
    rows = [make_row(tmp_path / "v", f"r{i}", i) for i in range(3)]
    lines = [json.dumps({"file": f"r{i}.wav", "phones": [["B", 0.0, 0.1 * (i + 1)]]}) for i in range(2)]
    (tmp_path / "v" / "phones.jsonl").write_text("\n".join(lines))
    cache = AlignmentCache(tmp_path / "a.jsonl")
    assert cache.add_file(rows, tmp_path / "v" / "phones.jsonl") == 2
    found = AlignmentCache(tmp_path / "a.jsonl").get_many(rows, workers=1)
    assert found["r1"] == [Phone("B", 0.0, 0.2)]
    assert len(counted) == 1


def test_bad_phone_files_and_places_are_named(tmp_path):
    cache = AlignmentCache(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"none\.jsonl"):
        cache.add_file([], tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"file": 1}\n')
    with pytest.raises(UserError, match=r"bad\.jsonl"):
        cache.add_file([], tmp_path / "bad.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        AlignmentCache(tmp_path / "file" / "a.jsonl")._append("key", [])


def test_a_missing_recording_is_a_user_error(tmp_path):
    row = make_row(tmp_path, "a", 1)
    row.path.unlink()
    with pytest.raises(UserError, match=r"a\.wav"):
        AlignmentCache(tmp_path / "a.jsonl").get_many([row])


@pytest.mark.slow
def test_workers_give_what_one_process_gives(tmp_path, wave16k):
    rows = []
    for i in range(9):
        write_wav(tmp_path / f"w{i}.wav", (0.5 + 0.05 * i) * wave16k, 16000)
        seconds = len(wave16k) / 16000
        row = make_row(tmp_path, f"w{i}", 0, TEXT, seconds)
        rows.append(Row(**{**row.__dict__, "sample_rate": 16000}))
    one = AlignmentCache(tmp_path / "one.jsonl").get_many(rows, workers=1)
    two = AlignmentCache(tmp_path / "two.jsonl").get_many(rows, workers=2)
    assert one == two


@pytest.mark.realdata
def test_real_speech_aligns(shared_data):
    import csv

    from vivavoce.audio import read_audio

    corpus = shared_data / "speechocean_adult16k"
    with (corpus / "index.csv").open() as file:
        row = next(iter(csv.DictReader(file)))
    wave, _ = read_audio(corpus / row["file"])
    phones = align(wave, row["text"])
    check_cover(phones, len(wave) / 16000)
    assert names(phones) == "IH T W AH Z G IH D F AO R M IY"
