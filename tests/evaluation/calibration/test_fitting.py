import numpy as np
import pytest

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.calibration.fitting import calibrate_liveness, segment_threshold
from vivavoce.evaluation.localise import segments
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.recordings import score_recordings

from ...synthetic import make_rows, make_store, small_model


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.2])
def test_the_threshold_keeps_false_alarms_under_the_rate_and_is_the_highest_that_does(rate: float) -> None:
    rng = np.random.default_rng(0)
    live = [0.5 + np.convolve(rng.normal(size=200), np.ones(25) / 5, "same") for _ in range(100)]
    found = segment_threshold(live, rate)
    alarms = [np.mean([bool(segments(one, at)) for one in live]) for at in (found, found + 0.05)]
    assert alarms[0] <= rate
    assert found < 0
    assert alarms[1] > rate


def test_sure_live_recordings_need_no_lower_threshold_than_zero() -> None:
    assert segment_threshold([np.full(100, 3.0)] * 5) == 0


def test_all_of_the_calibration_comes_from_the_split() -> None:
    rows = make_rows(["a", "b", "c"], [Kind.LIVE, Kind.REPLAY_STAND, Kind.PROBE_ABSENT])
    store, model = make_store(rows), small_model()
    kinds = np.array([row.meta.kind.value for row in rows])
    part = calibrate_liveness(model, store, kinds == "live", kinds == "replay_stand", [row.speaker for row in rows])
    scores = score_recordings(model, store, frames=True)
    live = scores.liveness[kinds == "live"]
    assert (part.n_target, part.n_nontarget) == (len(live), (kinds == "replay_stand").sum())
    assert part.eer == eer(live, scores.liveness[kinds == "replay_stand"]).rate
    assert 0 <= part.correlation <= 1
    assert part.segment_threshold is not None
    alarms = [
        bool(segments(scores.frames[i], part.segment_threshold)) for i in np.flatnonzero(kinds == "live").tolist()
    ]
    assert np.mean(alarms) <= 0.02
