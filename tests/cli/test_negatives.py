from pathlib import Path

import numpy as np
import pytest
import torch

from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.cuts import Row
from vivavoce.corpus.groups import source_of
from vivavoce.corpus.manifest import read_rows, write_rows
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.errors import UserError
from vivavoce.features.splicing import BandSplit
from vivavoce.negatives_plan import SplicingConfig, plan_negatives

from ..tiny import assert_refused, run_cli, snapshot, unchanged

RATE = 48_000


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Three speakers with two live takes of two sources each, and a replay; each its own voice and carrier."""
    rows, number = [], 0
    for speaker in range(3):
        for source, kind in ((0, "live"), (0, "live"), (1, "live"), (1, "replay_stand")):
            rows.append(make(tmp_path, f"r{number}", f"s{speaker}", number, kind=kind, source=f"s{speaker}-{source}"))
            number += 1
    write_rows(rows, tmp_path / "corpus.jsonl.gz")
    return tmp_path / "corpus.jsonl.gz"


def make(folder: Path, name: str, speaker: str, number: int, seconds: float = 1.6, rate: int = RATE, **meta) -> Row:
    path = folder / "wav" / f"{name}.wav"
    time = np.arange(round(seconds * rate)) / rate
    carrier = 18_000.0 + 200 * (number % 10)
    wave = 0.1 * np.cos(2 * np.pi * (200 + 50 * number) * time) + 0.05 * np.cos(2 * np.pi * carrier * time)
    write_wav(path, wave, rate)
    extra = {"device": "phone1", "probe_hz": (carrier,), "posture": "stand", "distance_cm": 10.0 + number, **meta}
    return Row(name, path, speaker, "words", 0.0, len(wave) / rate, rate, 0, Metadata.model_validate(extra), None, None)


def made(corpus: Path, *words: object) -> list[Row]:
    result = run_cli("negatives", corpus, "--out", corpus.parent / "out", "--json", *words)
    assert result.code == 0, result.err
    rows = read_rows(result.json["manifest"])
    assert result.json["recordings"] == len(rows)
    return rows


def extra(row: Row) -> dict:
    return row.meta.model_extra or {}


def loudest_hz(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave))


def test_each_recording_holds_the_bands_that_its_row_says(corpus: Path) -> None:
    sources = {row.id: row for row in read_rows(corpus)}
    rows = made(corpus)
    assert {str(row.meta.kind) for row in rows} == {"live", "replay_stand", "swapped_mouth", "shifted"}
    split = BandSplit(RATE)
    for row in rows:
        wave, _ = read_audio(row.path)
        voice, echo = split(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
        own = sources[row.id.split(".")[0]]
        assert row.speaker == own.speaker
        assert loudest_hz(voice[0].numpy()) == pytest.approx(200 + 50 * int(own.id[1:]), abs=1.5)
        assert row.meta.probe_hz is not None
        assert loudest_hz(echo[0].numpy()) == pytest.approx(row.meta.probe_hz[0], abs=1.5)
        assert row.duration_s == pytest.approx(len(wave) / RATE)
        swapped = extra(row)["made"] in ("swap", "replace")
        assert (row.meta.distance_cm != own.meta.distance_cm) == swapped  # the place is that of the echo


def test_no_swap_is_of_one_source_and_no_shift_under_120_ms(corpus: Path) -> None:
    for row in made(corpus, "--swap", 6, "--shift", 6, "--shift-ms", 120, 500):
        if extra(row)["made"] == "swap":
            assert extra(row)["echo_source"] != source_of(row)
        if extra(row)["made"] == "shift":
            assert 120 <= abs(extra(row)["shift_ms"]) <= 500
            assert row.duration_s == pytest.approx(1.6 - abs(extra(row)["shift_ms"]) / 1000, abs=1e-4)


def test_a_positive_with_the_same_span_of_voice_stands_beside_every_negative(corpus: Path) -> None:
    rows = read_rows(corpus)
    splices = plan_negatives(rows, Path("out"), SplicingConfig(swap=2, shift=3)).splices
    negatives = {splice.span for splice in splices if splice.made != "resplice"}
    positives = [splice.span for splice in splices if splice.made == "resplice"]
    assert set(positives) == negatives
    assert len(positives) == len(negatives)
    assert all(splice.echo is splice.voice for splice in splices if splice.made in ("resplice", "shift"))


@pytest.mark.parametrize(("share", "most"), [(1.0, 0), (0.0, None)])
def test_hard_swaps_stay_with_the_speaker(corpus: Path, share: float, most: int | None) -> None:
    rows = read_rows(corpus)
    splices = plan_negatives(rows, Path("out"), SplicingConfig(swap=20, hard_share=share)).splices
    others = [splice for splice in splices if splice.made == "swap" and splice.echo.speaker != splice.voice.speaker]
    assert len(others) == 0 if most == 0 else len(others) > 40


def test_a_stopped_run_goes_on_and_gives_the_same_bytes(corpus: Path) -> None:
    rows = made(corpus, "--seed", 3)
    before = {row.path: row.path.read_bytes() for row in rows}
    kept, gone = rows[0].path, [row.path for row in rows[1:3]]
    stamp = kept.stat().st_mtime_ns
    for path in [*gone, corpus.parent / "out" / "manifest.jsonl.gz"]:
        path.unlink()
    (gone[0].parent / ".tmp-half.wav").write_bytes(b"half")
    assert made(corpus, "--seed", 3) == rows
    assert {path: path.read_bytes() for path in before} == before
    assert kept.stat().st_mtime_ns == stamp
    assert not list((corpus.parent / "out").rglob(".tmp-*"))


def test_another_seed_gives_other_pairs(corpus: Path) -> None:
    rows = read_rows(corpus)
    first, second = (
        [splice.echo.id for splice in plan_negatives(rows, Path("o"), SplicingConfig(seed=seed)).splices]
        for seed in (0, 1)
    )
    assert first != second


def test_another_config_does_not_continue_a_folder(corpus: Path) -> None:
    made(corpus)
    with unchanged(corpus.parent / "out"):
        result = run_cli("negatives", corpus, "--out", corpus.parent / "out", "--swap", 2)
    assert_refused(result, "holds negatives made otherwise", "config.swap")


def test_negatives_are_not_made_of_negatives(corpus: Path) -> None:
    rows = [*read_rows(corpus), *made(corpus)]
    again = plan_negatives(rows, Path("out"), SplicingConfig()).splices
    used = {splice.voice.id for splice in again} | {splice.echo.id for splice in again}
    assert used <= {row.id for row in read_rows(corpus)}


def test_what_cannot_be_had_is_left_out_and_counted(tmp_path) -> None:
    rows = [make(tmp_path, "a", "s1", 0, seconds=1.1, kind="live"), make(tmp_path, "b", "s1", 1, kind="live")]
    plan = plan_negatives(rows, tmp_path, SplicingConfig(replace=0, swap=1, shift=1))
    assert plan.left_out == {"shift": 1}  # 1.1 s less 120 ms is under a second
    alone = plan_negatives(rows[1:], tmp_path, SplicingConfig(replace=0, swap=1, shift=1))
    assert alone.left_out == {"swap": 1}


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--replace", 0, "--swap", 0, "--shift", 0), ("Nothing is asked for",)),
        (("--shift-ms", 80, 500), ("shift_ms", "120 ms")),
        (("--swap", -1), ("swap", "-1")),
        (("--hard-share", 1.5), ("hard_share", "1.5")),
    ],
)
def test_impossible_wishes_are_refused_in_one_sentence(corpus: Path, words: tuple, parts: tuple[str, ...]) -> None:
    before = snapshot(corpus.parent)
    assert_refused(run_cli("negatives", corpus, "--out", corpus.parent / "out", *words), *parts)
    assert snapshot(corpus.parent) == before


def test_a_manifest_without_live_or_replayed_recordings_is_refused(tmp_path) -> None:
    live = make(tmp_path, "a", "s1", 0, kind="live")
    with pytest.raises(UserError, match=r"no replay .* give --replace 0"):
        plan_negatives([live], tmp_path, SplicingConfig())
    slow = make(tmp_path, "c", "s1", 0, rate=16_000, kind=Kind.LIVE)
    with pytest.raises(UserError, match="no live recording"):
        plan_negatives([slow], tmp_path, SplicingConfig())
