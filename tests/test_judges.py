"""The judges' windows: sound and motion stay together, and no swapped pair shares a moment."""

import csv
import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.simulate.config import SimulationConfig
from vivavoce.simulate.motion import RATE_HZ
from vivavoce.simulate.phonemes import Phone
from vivavoce.simulate.plan import Corpus, plan

ROOT = Path(__file__).resolve().parents[1]
RATE = 8000


@pytest.fixture(scope="module")
def judges() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("judges")


@pytest.fixture(scope="module")
def vocaltract() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        return importlib.import_module("judges_vocaltract")


def record(folder: Path, name: str, seconds: float, seed: int) -> None:
    """Write a recording whose level follows the opening of its mouth."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * 200)) / 200
    opening = 6.0 + 5.0 * np.sin(2 * np.pi * (2.0 + 0.3 * seed) * at + rng.uniform(0, 6))
    lower = np.stack([60.0 - 0.2 * opening, -opening, np.full_like(at, 1.0)], axis=1)
    upper = np.stack([np.full_like(at, 61.0), np.full_like(at, 10.0), np.full_like(at, 1.0)], axis=1)
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{name}.npz", fs=200.0, upper_lip_mm=upper, lower_lip_mm=lower)
    sound = np.repeat(opening, RATE // 200) / 50 * rng.standard_normal(len(at) * (RATE // 200)) * 0.3
    write_wav(folder / f"{name}.wav", sound, RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "tracks"
    lengths = {"ann_1": 4.0, "ann_2": 2.2, "ann_3": 1.9, "ben_1": 1.5, "ben_2": 3.6}
    for seed, (name, seconds) in enumerate(lengths.items()):
        record(place, name, seconds, seed)
    return place


def loudness(row) -> np.ndarray:
    """Level of a row's sound on the grid of the motion, (frames,)."""
    wave, _ = read_audio(row.path, start_s=row.start_s, duration_s=row.duration_s)
    return np.sqrt(np.mean(wave[: len(wave) // 40 * 40].reshape(-1, 40) ** 2, axis=1))


@pytest.mark.parametrize("seconds", [1.5, 3.0])
def test_sound_and_motion_of_a_window_are_one(judges, folder, tmp_path, seconds):
    judge = judges.measured(folder, seconds, tmp_path / "work")
    assert {row.speaker for row in judge.rows} == {"ann", "ben"}
    assert set(judge.motions) == {row.id for row in judge.rows}
    for row in judge.rows:
        motion = judge.motions[row.id]
        assert row.duration_s == seconds
        assert motion.positions_m.shape == (6, round(seconds * RATE_HZ), 3)
        assert np.isfinite(motion.positions_m).all()
        level, opening = loudness(row), motion.aperture_m
        r = {lag: np.corrcoef(np.roll(level, lag)[20:-20], opening[20:-20])[0, 1] for lag in (-10, 0, 10)}
        assert r[0] > 0.75
        assert r[0] > max(r[-10], r[10])


def test_windows_begin_every_hop_and_tell_their_recording(judges, folder, tmp_path):
    rows = judges.measured(folder, 3.0, tmp_path / "work", hop_s=0.25).rows
    own = [row for row in rows if row.text == "ann_1"]
    assert [row.start_s for row in own] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert len({row.id for row in rows}) == len(rows)


def test_short_recordings_are_joined_once_and_lone_ones_said_again(judges, folder, tmp_path):
    rows = judges.measured(folder, 3.0, tmp_path / "work").rows
    assert {row.text for row in rows} == {"ann_1", "ann_2 | ann_3", "ben_2", "ben_1"}
    joined = judges.measured(folder, 4.0, tmp_path / "work")
    texts = [text for row in joined.rows for text in {row.text}]
    assert {"ann_1", "ann_2 | ann_3", "ben_1 | ben_2"} == set(texts)


def test_the_mouth_goes_on_smoothly_through_a_pause(judges, folder, tmp_path):
    judge = judges.measured(folder, 4.0, tmp_path / "work")
    [row] = [row for row in judge.rows if row.text == "ben_1 | ben_2" and row.start_s == 0.0]
    steps = np.abs(np.diff(judge.motions[row.id].positions_m, axis=1))
    pause = slice(300, 300 + round(judges.PAUSE_S * RATE_HZ) + 1)
    assert steps[:, pause].max() < 1.5 * steps[:, :300].max()
    quiet = loudness(row)[pause]
    assert 0 < quiet.mean() < 0.5 * loudness(row)[:300].mean()


@pytest.mark.parametrize("seconds", [1.5, 3.0])
def test_no_swapped_mouth_shares_a_moment_with_its_voice(judges, folder, tmp_path, seconds):
    judge = judges.measured(folder, seconds, tmp_path / "work")
    texts = {row.id: set(row.text.split(" | ")) for row in judge.rows}
    config = SimulationConfig.model_validate({"kinds": {"live": 0, "swapped_mouth": 3}})
    swapped = [
        item.row
        for item in plan(Corpus(judge.rows, {}, judge.motions), tmp_path / "out", config)
        if item.row.meta.kind is Kind.SWAPPED_MOUTH
    ]
    assert len(swapped) == 3 * len(judge.rows)
    for row in swapped:
        extra = row.meta.model_dump()
        assert not texts[extra["source"]] & texts[extra["mouth"]]


def test_a_table_names_speakers_and_texts(judges, folder, tmp_path):
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "speaker", "sex", "text"), ("ann_1.wav", "x", "F", "one"), ("ben_2.wav", "y", "M", "two")]
        )
    rows = judges.measured(folder, None, tmp_path / "work").rows
    assert [(row.speaker, row.text, row.meta.sex) for row in rows] == [("x", "one", "F"), ("y", "two", "M")]
    assert [row.duration_s for row in rows] == [4.0, 3.6]


def test_joins_that_share_a_sentence_are_never_swapped(judges, tmp_path):
    place = tmp_path / "tracks"
    said = [("x_1", "a"), ("x_2", "b"), ("y_1", "a"), ("y_2", "c"), ("z_1", "d"), ("z_2", "e")]
    for seed, (name, _) in enumerate(said):
        record(place, name, 1.0, seed)
    with (place / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "speaker", "text"), *((f"{n}.wav", n[0], text) for n, text in said)])
    rows = judges.measured(place, 2.0, tmp_path / "work").rows
    texts = {row.speaker: row.text for row in rows}
    assert texts["x"] == texts["y"] == "a | b | c"
    assert texts["z"] == "d | e"


def test_folders_without_motion_are_refused(judges, tmp_path):
    with pytest.raises(UserError, match="no folder"):
        judges.measured(tmp_path / "none", 3.0, tmp_path)
    with pytest.raises(UserError, match=r"no \.npz"):
        judges.measured(tmp_path, 3.0, tmp_path)
    with pytest.raises(UserError, match="judges_vocaltract"):
        judges.vocaltract(tmp_path, 3.0, tmp_path)


def test_a_family_moves_each_row_its_own_way(judges, folder, tmp_path):
    rows = judges.measured(folder, None, tmp_path / "work").rows
    phones = {row.id: [Phone("M", 0.2, 0.5), Phone("AA", 0.5, 1.0)] for row in rows}
    one, again, other = (judges.family(rows, phones, name) for name in ("tasks", "tasks", "features"))
    for row in rows:
        assert one.motions[row.id].aperture_m.shape == (round(row.duration_s * RATE_HZ),)
        np.testing.assert_array_equal(one.motions[row.id].positions_m, again.motions[row.id].positions_m)
        assert np.abs(one.motions[row.id].aperture_m - other.motions[row.id].aperture_m).max() > 1e-4


def test_all_phonemes_have_segments_of_the_synthesiser(vocaltract):
    from vivavoce.simulate.phonemes import PHONEMES

    assert set(vocaltract.SEGMENTS) == set(PHONEMES)
    assert [text.count(". ") for text in vocaltract.TEXTS] == [1] * 8
    phones = [Phone("SIL", 0.0, 0.4), Phone("OW", 0.4, 0.6), Phone("SIL", 0.6, 0.8), Phone("P", 0.8, 0.81)]
    segments = vocaltract.segments_of(phones)
    assert [name for name, _ in segments] == ["", "o:", "U", "", "p", ""]
    assert segments[4][1] == vocaltract.SHORTEST_S


def test_without_vocaltractlab_one_sentence_tells_how_to_get_it(vocaltract, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["judges_vocaltract.py", "--out", str(tmp_path), "--python", "no-such-python"])
    with pytest.raises(SystemExit) as left:
        vocaltract.main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "pip install vocaltractlab-cython" in said
    assert said.count("\n") == 1
