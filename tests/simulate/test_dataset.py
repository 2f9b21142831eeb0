import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from vivavoce.corpus.manifest import read_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.simulate import dataset
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.simulate.plan import Corpus, plan

from .utterances import write_corpus

NONE = dict.fromkeys(SimulationConfig().kinds.model_dump(), 0)


def config(kinds: Any = None, **changes: Any) -> SimulationConfig:
    wanted = NONE | (kinds or {"live": 1, "shifted": 1})
    return SimulationConfig.model_validate({"seed": 3, "kinds": wanted} | changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    rows, phones = write_corpus(tmp_path_factory.mktemp("corpus"), each=4, seconds=1.0)
    return Corpus(rows, phones, {})


@pytest.fixture(scope="module")
def whole(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "out"
    simulate_dataset(corpus.rows, folder, config(), corpus.phones, workers=1)
    return folder


def test_writes_48_khz_recordings_and_their_manifest(corpus: Corpus, whole: Path) -> None:
    rows = read_rows(whole / "manifest.jsonl.gz")
    assert len(rows) == 2 * len(corpus.rows)
    assert {path.relative_to(whole).as_posix() for path in whole.glob("ann/*")} >= {
        "ann/ann-0.live.wav",
        "ann/ann-0.shifted.wav",
    }
    sources = {row.id: row for row in corpus.rows}
    for row in rows:
        info = sf.info(row.path)
        assert (info.samplerate, info.channels, info.subtype) == (48_000, 1, "PCM_16")
        extra: Any = row.meta.model_extra
        source = sources[extra["source"]]
        assert info.frames == round(source.duration_s * 48_000)
        assert row.duration_s == pytest.approx(info.duration)
        assert (row.speaker, row.text) == (source.speaker, source.text)
        assert row.meta.session in ("s1", "s2")
        assert row.meta.posture in ("stand", "table", "handheld", "ear")
        assert row.meta.distance_cm is not None
        assert 4 <= row.meta.distance_cm <= 40
        assert row.meta.probe_hz is not None
        assert len(row.meta.probe_hz) == 8
        assert ("shift_ms" in extra) == (row.meta.kind is Kind.SHIFTED)
    assert not list(whole.rglob(".tmp-*"))


def test_a_speaker_keeps_the_phone_and_a_session_its_nonce(whole: Path) -> None:
    rows = read_rows(whole / "manifest.jsonl.gz")
    for speaker in ("ann", "ben"):
        own = [row for row in rows if row.speaker == speaker]
        assert len({row.meta.device for row in own}) == 1
        probes = {row.meta.session: row.meta.probe_hz for row in own}
        assert len(set(probes.values())) == 2
        assert all(row.meta.probe_hz == probes[row.meta.session] for row in own)


def test_columns_of_the_source_are_kept_unless_they_describe_its_file(corpus: Corpus, whole: Path, tmp_path: Path):
    columns = {"emotion": "calm", "age": "31", "sr": "16000", "seconds": "1.0", "Sample Rate": 16000, "file": "a.wav"}
    told = [replace(row, meta=Metadata.model_validate(columns)) for row in corpus.rows[:2]]
    simulate_dataset(told, tmp_path, config(kinds={"live": 1}), corpus.phones, workers=1)
    for row in read_rows(tmp_path / "manifest.jsonl.gz"):
        extra: Any = row.meta.model_extra
        assert extra.keys() == {"emotion", "age", "source", "simulated"}
        assert (extra["emotion"], extra["age"]) == ("calm", "31")
        same = whole / row.path.relative_to(tmp_path)
        assert row.path.read_bytes() == same.read_bytes(), "columns change no sample"


def test_workers_and_order_change_nothing(corpus: Corpus, whole: Path, tmp_path: Path) -> None:
    simulate_dataset(corpus.rows, tmp_path / "two", config(), corpus.phones, workers=2)
    assert contents(tmp_path / "two") == contents(whole)
    backwards = plan(Corpus(corpus.rows[::-1], corpus.phones, {}), tmp_path, config(kinds={"live": 1}))
    assert {item.job.id for item in backwards} >= {"ann-0.live", "ben-3.live"}


def test_continues_where_it_was_stopped(
    corpus: Corpus, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def stops_after_five(job: Any, config: SimulationConfig) -> None:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(job.id)
        original(job, config)

    original = dataset.render
    monkeypatch.setattr(dataset, "render", stops_after_five)
    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(corpus.rows, tmp_path / "out", config(), corpus.phones, workers=1)
    assert not (tmp_path / "out" / "manifest.jsonl.gz").exists()
    left = tmp_path / "out" / "ann" / ".tmp-0-ann-3.live.wav"
    left.write_bytes(b"half")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.wav")}

    monkeypatch.setattr(dataset, "render", original)
    simulate_dataset(corpus.rows, tmp_path / "out", config(), corpus.phones, workers=1)
    assert contents(tmp_path / "out") == contents(whole)
    assert not left.exists()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items() if path != left)


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_end(corpus: Corpus, whole: Path, tmp_path: Path) -> None:
    arguments = (corpus.rows, tmp_path / "out", config(), corpus.phones)
    (tmp_path / "arguments").write_bytes(pickle.dumps(arguments))
    code = (
        "import pickle, sys; from vivavoce.simulate.dataset import simulate_dataset; "
        "simulate_dataset(*pickle.load(open(sys.argv[1], 'rb')), workers=1)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "arguments")])
    while not list((tmp_path / "out").rglob("*.wav")) and child.poll() is None:
        time.sleep(0.005)
    child.kill()
    assert child.wait() != 0
    assert not (tmp_path / "out" / "manifest.jsonl.gz").exists()
    simulate_dataset(corpus.rows, tmp_path / "out", config(), corpus.phones, workers=2)
    assert contents(tmp_path / "out") == contents(whole)


def test_another_config_into_the_same_folder_is_refused(corpus: Corpus, whole: Path) -> None:
    before = contents(whole)
    other = config(postures={"stand": 0.9}, device={"noise_dbc_hz": -70})
    with pytest.raises(UserError, match=r"device\.noise_dbc_hz\.high is -60\.0 there and -70\.0 here.*another folder"):
        simulate_dataset(corpus.rows, whole, other, corpus.phones, workers=1)
    with pytest.raises(UserError, match=r"postures\.stand is 0\.4 there and 0\.9 here"):
        simulate_dataset(corpus.rows, whole, config(postures={"stand": 0.9}), corpus.phones, workers=1)
    assert contents(whole) == before


def test_other_inputs_into_the_same_folder_are_refused(corpus: Corpus, whole: Path) -> None:
    with pytest.raises(UserError, match="other recordings, texts or motions"):
        simulate_dataset(corpus.rows[:-1], whole, config(), corpus.phones, workers=1)
    phones = dict(corpus.phones) | {"ann-0": list(corpus.phones["ann-0"])[:-1]}
    with pytest.raises(UserError, match="other recordings, texts or motions"):
        simulate_dataset(corpus.rows, whole, config(), phones, workers=1)


def test_a_folder_that_holds_something_else_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no simulation"):
        simulate_dataset(corpus.rows, tmp_path, config(), corpus.phones, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_full_disk_is_one_sentence_and_nothing_half_written(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wave

    def fails(self: wave.Wave_write, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wave.Wave_write, "writeframes", fails)
    with pytest.raises(UserError, match="The disk is full"):
        simulate_dataset(corpus.rows, tmp_path / "out", config(), corpus.phones, workers=1)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["simulation.yaml"]


def test_fractional_counts_are_shares_of_the_utterances(tmp_path: Path) -> None:
    rows, phones = write_corpus(tmp_path, speakers=[f"sp{i}" for i in range(10)], each=4, seconds=0.6)
    kinds = {"live": 1, "replay_stand": 0.5, "replay_handheld": 2.25, "swapped_mouth": 0, "shifted": 0.3}
    made = [item.job for item in plan(Corpus(rows, phones, {}), tmp_path, config(kinds=kinds))]
    counts = {kind: sum(job.kind == kind for job in made) for kind in Kind}
    assert counts[Kind.LIVE] == 40
    assert counts[Kind.REPLAY_STAND] == 20
    assert counts[Kind.REPLAY_HANDHELD] == 90
    assert counts[Kind.SWAPPED_MOUTH] == 0
    assert 10 <= counts[Kind.SHIFTED] <= 20
    assert len({job.target for job in made}) == len(made)
    assert any(job.target.name.endswith(".replay_handheld.2.wav") for job in made)


def test_a_row_keeps_its_own_session_and_further_columns(corpus: Corpus, tmp_path: Path) -> None:
    meta = Metadata.model_validate({"session": "monday", "phrase": "p7", "sex": "F", "age": 41})
    rows = [replace(corpus.rows[0], meta=meta), *corpus.rows[1:]]
    first = plan(Corpus(rows, corpus.phones, {}), tmp_path, config())[0].row.meta
    extra: Any = first.model_extra
    assert (first.session, first.phrase, first.sex, extra["age"]) == ("monday", "p7", "F", 41)


def test_one_utterance_alone_has_no_mouth_to_swap(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="swapped_mouth"):
        plan(Corpus(corpus.rows[:1], corpus.phones, {}), tmp_path, config(kinds={"swapped_mouth": 1}))


def test_missing_alignment_is_named(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ann-0"):
        simulate_dataset(corpus.rows, tmp_path / "out", config(), {}, workers=1)
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_said(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to simulate"):
        plan(corpus, tmp_path, config(kinds=NONE))
    with pytest.raises(UserError, match="no recordings"):
        plan(Corpus([], {}, {}), tmp_path, config())


def test_unusable_source_is_named(corpus: Corpus, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    sf.write(silent, np.zeros(16_000), 16_000)
    row = replace(corpus.rows[0], path=silent, duration_s=1.0)
    with pytest.raises(UserError, match=r"silent\.wav"):
        simulate_dataset([row], tmp_path / "out", config(kinds={"live": 1}), corpus.phones, workers=1)
