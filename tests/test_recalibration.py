import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vivavoce.corpus.manifest import read_rows
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.calibration.observing import known_of_rows, measures_of_wave
from vivavoce.features.front_end import read_wave
from vivavoce.recalibration import HISTORY, calibrate
from vivavoce.verifier import Verifier, load_run

from .tiny import Tiny, unchanged


@pytest.fixture
def run(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.run, tmp_path / "run"))


def test_a_plain_rule_on_the_runs_own_split_keeps_its_lines(run):
    before = load_run(run).calibration
    found = calibrate(run)
    assert found.before == before
    after = load_run(run).calibration
    assert after == found.after
    for name in ("speaker", "liveness"):
        old, new = getattr(before, name), getattr(after, name)
        assert new.scale == pytest.approx(old.scale, rel=1e-3)
        assert new.eer == pytest.approx(old.eer)
        assert new.maps is None
        assert {one.n for one in new.seen.values()} == {new.n_target, new.n_nontarget}
        assert found.quality[name].after == pytest.approx(found.quality[name].before, abs=1e-3)


def test_the_same_again_gives_the_same(run):
    first, second = (calibrate(run, CalibrationConfig(fusion="product")).after for _ in range(2))
    assert first == second


def test_the_verifier_goes_by_all_that_the_calibration_says(tiny, run):
    config = CalibrationConfig(fusion="product", quality=("duration", "snr_db", "level_dbfs"))
    calibration = calibrate(run, config).after
    own = tiny.recordings("live", tiny.speakers[0])
    verdict = Verifier.load(run).enrol(own[:3]).verify(own[3])
    rows = [row for row in read_rows(tiny.test) if row.path == own[3]]
    wave = read_wave(rows[0])
    known = known_of_rows(rows, [len(wave.samples) / wave.rate], calibration.measures)
    fused = calibration.fused([verdict.speaker_score], [verdict.liveness_score], known=known)
    assert verdict.fused_score == pytest.approx(float(fused[0]), abs=1e-6)
    assert verdict.fused_threshold == calibration.threshold


def test_a_recording_is_measured_the_same_from_its_file_and_in_memory(tiny):
    (row,) = [row for row in read_rows(tiny.test) if row.path == tiny.recordings("live")[0]]
    wave = read_wave(row)
    names = {"snr_db", "level_dbfs", "duration"}
    known = known_of_rows([row], [2.0], names)
    heard = measures_of_wave(wave.samples, wave.rate, names)
    assert set(heard) == {"snr_db", "level_dbfs"}
    for name, value in heard.items():
        assert value == pytest.approx(float(known.measure(name)[0]), abs=1e-4)
    assert known.measure("duration")[0] == pytest.approx(np.log(2.0))
    assert measures_of_wave(wave.samples, wave.rate, ()) == {}


def test_a_training_manifest_that_is_gone_is_told(run):
    prints = json.loads((run / "manifests.json").read_text())
    (run / "manifests.json").write_text(json.dumps(dict.fromkeys(prints, "0" * 64)))
    assert any("cannot be checked" in note for note in calibrate(run).notes)


def test_a_damaged_history_is_refused_before_anything_is_written(run):
    calibrate(run)
    (run / HISTORY).write_text("{")
    with unchanged(run), pytest.raises(UserError, match="damaged"):
        calibrate(run)
