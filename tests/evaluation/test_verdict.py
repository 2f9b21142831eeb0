import math

import pytest

from vivavoce.evaluation.calibration import Calibration, PartCalibration
from vivavoce.evaluation.verdict import Answer, Evidence, decide
from vivavoce.signal.probe import ProbeQuality

NAN = float("nan")


def part(threshold: float) -> PartCalibration:
    return PartCalibration(scale=2.0, offset=-2.0 * threshold, threshold=threshold, eer=0.05, n_target=9, n_nontarget=9)


BOTH = Calibration(speaker=part(0.4), liveness=part(1.0))
VOICE_ONLY = Calibration(speaker=part(0.4), liveness=None)
FINE = ProbeQuality(True, -20.0, 50.0, "")
NONE = ProbeQuality(False, float("-inf"), float("-inf"), "no probe in the recording")


@pytest.mark.parametrize(
    ("speaker", "liveness", "quality", "answer"),
    [
        (0.7, 2.0, FINE, Answer.ACCEPT),
        (0.1, 2.0, FINE, Answer.NOT_THE_SPEAKER),
        (0.7, -3.0, FINE, Answer.NOT_LIVE),
        (0.1, -3.0, FINE, Answer.NOT_LIVE),  # a replay of a stranger is first of all a replay
        (0.7, NAN, NONE, Answer.ABSTAIN),
        (0.1, NAN, NONE, Answer.ABSTAIN),
        (0.4, 1.0, FINE, Answer.ACCEPT),  # at both thresholds exactly
        (math.nextafter(0.4, 0), 1.0, FINE, Answer.NOT_THE_SPEAKER),
        (0.4, math.nextafter(1.0, 0), FINE, Answer.NOT_LIVE),
    ],
)
def test_the_table_of_verdicts(speaker, liveness, quality, answer):
    verdict = decide(Evidence(speaker, liveness, quality), BOTH)
    assert verdict.verdict is answer
    assert verdict.speaker_score == speaker
    assert (verdict.speaker_threshold, verdict.liveness_threshold) == (0.4, 1.0)
    assert verdict.reason.endswith(".")
    if math.isnan(liveness):
        assert verdict.liveness_score is None
        assert verdict.liveness_probability is None
    else:
        assert verdict.liveness_score == liveness


@pytest.mark.parametrize(("speaker", "said"), [(0.7, "is the enrolled"), (0.1, "is not the enrolled")])
def test_an_abstention_says_why_and_what_the_voice_says(speaker, said):
    verdict = decide(Evidence(speaker, NAN, NONE), BOTH)
    assert "no probe in the recording" in verdict.reason
    assert said in verdict.reason
    assert verdict.probe_snr_db is None


@pytest.mark.parametrize("liveness", [NAN, 5.0, -5.0])
def test_a_run_without_liveness_always_abstains(liveness):
    verdict = decide(Evidence(0.7, liveness, FINE), VOICE_ONLY)
    assert verdict.verdict is Answer.ABSTAIN
    assert "trained without liveness" in verdict.reason
    assert verdict.liveness_score is None
    assert verdict.liveness_threshold is None
    assert verdict.liveness_probability is None


def test_probabilities_are_even_at_the_calibrated_point_and_rise_with_the_score():
    at, above, below = (decide(Evidence(s, s + 0.6, FINE), BOTH) for s in (0.4, 0.6, 0.2))
    assert at.speaker_probability == pytest.approx(0.5)
    assert at.liveness_probability == pytest.approx(0.5)
    assert below.speaker_probability < at.speaker_probability < above.speaker_probability
    assert below.liveness_probability < at.liveness_probability < above.liveness_probability
