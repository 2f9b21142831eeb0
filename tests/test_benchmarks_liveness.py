"""The liveness benchmark: its utterances of one length, its passive baseline, its figures and its tables."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from vivavoce.audio import read_audio, write_wav
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Metadata
from vivavoce.simulate.phonemes import SILENCE, Phone

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
RATE = 16_000
MODULES = (
    *("passive", "liveness_corpora", "liveness_runs", "liveness_figures", "liveness_spans"),
    *("tables_liveness", "liveness_plan"),
)


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)  # as for a script that is run
        before = set(sys.modules)
        yield {name: importlib.import_module(name) for name in MODULES}
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCHMARKS)):
                del sys.modules[name]


def row(tmp_path: Path, name: str, seconds: float, speaker: str = "a") -> Row:
    samples = 0.1 * np.random.default_rng(len(name)).standard_normal(round(seconds * RATE))
    write_wav(tmp_path / f"{name}.wav", samples, RATE)
    place = {"path": tmp_path / f"{name}.wav", "start_s": 0.0, "duration_s": seconds, "sample_rate": RATE, "channel": 0}
    return Row(id=name, speaker=speaker, text=name, meta=Metadata(), **place)


def phones(seconds: float, edge: float = 0.5) -> list[Phone]:
    return [Phone(SILENCE, 0, edge), Phone("AA", edge, seconds - edge), Phone(SILENCE, seconds - edge, seconds)]


def test_utterances_of_one_length_are_joined_cut_and_never_used_twice(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    corpora = modules["liveness_corpora"]
    seconds = {"one": 2.0, "two": 2.5, "three": 6.0, "four": 1.5, "alone": 1.5}
    rows = [row(tmp_path, name, s, "b" if name == "alone" else "a") for name, s in seconds.items()]
    spoken = corpora.Spoken(rows, {name: phones(s) for name, s in seconds.items()})
    made = corpora.of_length(spoken, 3.0, tmp_path / "joined")
    assert [r.id for r in made.rows] == ["one+two", "three"]  # what is left of either speaker is too short
    for r in made.rows:
        samples, rate = read_audio(r.path)
        assert (len(samples), r.duration_s) == (3 * rate, 3.0)
        assert made.phones[r.id][0].start_s == 0
        assert made.phones[r.id][-1].end_s <= 3.0 + 1e-9
        gaps = [b.start_s - a.end_s for a, b in zip(made.phones[r.id], made.phones[r.id][1:], strict=False)]
        assert np.allclose(gaps, 0)
    # Of "one" 0.4 to 1.6 s are left, then come 0.3 s of pause: what was said at 0.5 s of "two" is at 1.6 s now.
    joined, _ = read_audio(made.rows[0].path)
    second, _ = read_audio(rows[1].path)
    assert np.allclose(joined[round(1.6 * RATE) : round(1.6 * RATE) + 100], second[RATE // 2 : RATE // 2 + 100])
    assert [p.start_s for p in made.phones["one+two"] if p.name == "AA"] == pytest.approx([0.1, 1.6])


def test_level_changes_no_cepstrum_but_the_first(modules: dict[str, ModuleType]) -> None:
    lfcc = modules["passive"].lfcc
    wave = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    one, other = lfcc(wave), lfcc(4 * wave)
    assert one.shape == (99, 60)
    assert np.allclose(one[:, 1:], other[:, 1:], atol=1e-3)
    assert (other[:, 0] > one[:, 0] + 1).all()


def test_the_passive_baseline_hears_a_band_limit_in_unseen_noise(
    modules: dict[str, ModuleType], tmp_path: Path
) -> None:
    passive = modules["passive"]
    wide = [row(tmp_path, "w" * n, 1.0) for n in range(1, 9)]
    narrow = [row(tmp_path, "n" * n, 1.0) for n in range(1, 9)]
    for one in narrow:
        samples, _ = read_audio(one.path)
        write_wav(one.path, 0.3 * np.asarray(lfilter([1.0], [1.0, -0.9], samples)), RATE)
    config = passive.PassiveConfig(components=2, frames=600, iterations=5)
    model = passive.train_passive(wide[:6], narrow[:6], config)
    scores = passive.score_passive(model, [*wide[6:], *narrow[6:]])
    assert scores[:2].min() > 0 > scores[2:].max()
    again = passive.score_passive(passive.train_passive(wide[:6], narrow[:6], config), [*wide[6:], *narrow[6:]])
    assert (again == scores).all()


def scored(modules: dict[str, ModuleType], scores: list[float], kinds: list[str], **meta: object) -> Any:
    rows = [
        Row(
            *(f"{n}", Path("x.wav"), f"s{n % 3}", None, 0.0, 3.0, 48_000, 0),
            meta=Metadata.model_validate({"kind": kind, **meta}),
        )
        for n, kind in enumerate(kinds)
    ]
    return modules["liveness_runs"].Scores(rows, np.array(scores), [""] * len(rows))


def test_the_worst_stretch_is_as_long_as_asked_and_as_low_as_can_be(modules: dict[str, ModuleType]) -> None:
    logits = np.ones(200)
    logits[50:100] = -1.0
    assert modules["liveness_spans"].worst_stretch(logits, 1.0) == pytest.approx((1.0, 2.0))
    assert modules["liveness_spans"].worst_stretch(logits, 9.0) == pytest.approx((0.0, 4.0))
    start, end = modules["liveness_spans"].worst_stretch(np.random.default_rng(0).normal(size=200), 0.5)
    assert end - start == pytest.approx(0.5)


def test_what_gets_no_answer_is_no_false_accept_and_no_trial(modules: dict[str, ModuleType]) -> None:
    figures = modules["liveness_figures"]
    nan = float("nan")
    part = scored(modules, [2, 1, 3, nan, 0, 1.5, -1, nan], ["live"] * 4 + ["swapped_mouth"] * 4)
    found = figures.accepted(part, part.of(figures.SWAPPED), 1.0, 20)
    assert (found["accepted"], found["abstained"], found["n"]) == (0.25, 0.25, 4)
    rate = figures.error_rate(part, part.of(figures.SWAPPED), 20)
    assert (rate["live"], rate["attacks"]) == (3, 3)
    assert rate["value"] == pytest.approx(1 / 3)
    assert figures.error_rate(part, np.zeros(8, bool), 20) is None


def test_attacks_are_counted_where_both_detectors_reject_as_many(modules: dict[str, ModuleType]) -> None:
    figures = modules["liveness_figures"]
    live = list(range(101))
    part = scored(modules, [*live, *range(10)], ["live"] * 101 + ["tts"] * 10)
    # 5 % of the live ones lie below 5, and so do 5 of the 10 attacks.
    assert figures.at_equal_rejects(part, part.kinds == "tts", 0.05) == {"apcer": 0.5, "n": 10}


def rate(value: float, **more: object) -> dict:
    return {"value": value, "low": value / 2, "high": 2 * value, "method": "bootstrap by speaker"} | more


def test_targets_are_held_against_what_was_asked_in_each_condition(modules: dict[str, ModuleType]) -> None:
    figures = modules["liveness_figures"]
    place = {"source": "measured", "half": "unseen", "seconds": 3}
    own = {"source": "phonetic", "half": "unseen", "seconds": 3}
    counts = {"live": 10, "attacks": 10}
    eer = [
        {"run": f"seed {seed}", **place, "condition": "stand 10 cm", **rate(0.04 + 0.02 * seed, **counts)}
        for seed in (0, 1)
    ]
    eer.append({"run": "seed 0", **place, "condition": "handheld 10 cm", **rate(0.16, **counts)})
    eer.append({"run": "seed 0", **own, "condition": "stand 10 cm", **rate(0.5, **counts)})
    shifts = [{"figure": "shift of 200 ms, 3 s", **place, "condition": "stand 20 cm", **rate(0.3, **counts)}]
    rows = figures.targets({"eer": eer, "shifts": shifts})
    # Of the simulator's own motion nothing is asked.
    assert [r["reached"] for r in rows if r["source"] == "phonetic"] == [None]
    known = {(r["figure"], r["condition"]): r for r in rows if r["source"] == "measured"}
    assert known["swapped mouth, 3 s", "stand 10 cm"]["reached"] is True
    assert known["swapped mouth, 3 s", "stand 10 cm"]["seeds"] == pytest.approx([0.04, 0.06])
    assert known["swapped mouth, 3 s", "handheld 10 cm"]["reached"] is False
    assert known["shift of 200 ms, 3 s", "stand 20 cm"]["reached"] is None
    text = modules["tables_liveness"].liveness_targets({"targets": rows, "detector": "fused", "smoke": False})
    assert "4.0 % (2.0 to 8.0), seeds 4.0 to 6.0; ≤ 5 %: reached" in text
    assert "≤ 15 %: **missed**" in text
    assert "Of 2 figures that were asked, 1 were reached and 1 were missed" in text


def test_every_table_can_be_made_of_a_run_that_has_not_begun(modules: dict[str, ModuleType]) -> None:
    tables = modules["tables_liveness"].LIVENESS
    assert {make({"smoke": False}) for _, make in tables.values()} == {"Not measured yet."}


def test_every_front_end_and_training_of_the_plan_has_a_name_of_its_own(modules: dict[str, ModuleType]) -> None:
    plan = modules["liveness_plan"].trainings()
    names = [training.name for training in plan]
    assert len(set(names)) == len(names)
    assert plan[0].name == "seed 0"
    assert [training.name for training in plan if modules["liveness_runs"].unavailable(training)] == []


def test_what_a_head_cannot_be_trained_with_is_left_out_with_the_reason(modules: dict[str, ModuleType]) -> None:
    plan = modules["liveness_plan"].trainings("lstm")
    left_out = {one.recipe: why for one in plan if (why := modules["liveness_runs"].unavailable(one))}
    assert list(left_out) == ["the level gate taught what stands still"]
    assert "the head lstm has none" in left_out["the level gate taught what stands still"]


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(1200)
def test_the_whole_benchmark_runs_and_fills_the_page(
    modules: dict[str, ModuleType], shared_data: Path, tmp_path: Path
) -> None:
    found = tmp_path / "results" / "liveness.json"
    command = [sys.executable, str(BENCHMARKS / "liveness.py"), "--smoke", "--workers", "1", "--json", str(found)]
    folders = ["--corpus", str(shared_data / "speechocean_adult16k"), "--motion", str(shared_data / "articulatory")]
    done = [*command, *folders, "--out", str(tmp_path / "run"), "--vocaltract", str(tmp_path / "none")]
    subprocess.run(done, check=True, cwd=tmp_path)
    result = json.loads(found.read_text(encoding="utf-8"))
    assert result["targets"]
    assert all(run["seconds"] is not None for run in result["runs"])
    # A second call has nothing left to do.
    subprocess.run(done, check=True, cwd=tmp_path, timeout=60)
    assert json.loads(found.read_text(encoding="utf-8")) == result
    assert "Not measured" not in "".join(make(result) for _, make in modules["tables_liveness"].LIVENESS.values())
