import numpy as np
import pytest

from vivavoce.evaluation.bootstrap import Bootstrap, ClassScores
from vivavoce.evaluation.calibration.decision import CostAim, Decision, FalseAcceptAim, Optimum, Risk, StatedRate
from vivavoce.evaluation.calibration.fusion import ProductFusion, RuleFusion
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.describing import decision_of, reliability_of
from vivavoce.evaluation.metrics.ratios import cllr
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5

SPEAKER = PartCalibration(scale=6, offset=-3, threshold=0.5, eer=0.1, n_target=50, n_nontarget=200)
LIVENESS = LivenessCalibration(scale=1.5, offset=0.2, threshold=-0.4, eer=0.1, n_target=50, n_nontarget=60)


def _rate(errors: int, trials: int) -> StatedRate:
    return StatedRate(rate=errors / trials, errors=errors, trials=trials, low=0.0, high=0.2, method="exact")


def _decided(fusion, aim) -> Calibration:
    decision = Decision(
        method="logistic",
        fusion=fusion,
        threshold=0.0,
        aim=aim,
        risk=Risk(miss=_rate(2, 40), speakers=_rate(1, 300), attacks=_rate(0, 8)),
        optimum=Optimum(cost=0.2, least=0.1, threshold=0.1),
    )
    return Calibration(speaker=SPEAKER, liveness=LIVENESS, decision=decision)


def test_a_run_as_trained_states_no_risk_and_says_so() -> None:
    found = decision_of(Calibration(speaker=SPEAKER, liveness=LIVENESS))
    assert found.thresholds == {"speaker": 0.5, "liveness": -0.4, "fused, nats": 0.0}
    assert found.stated == []
    assert "no risk was chosen" in found.rule
    assert "nobody is accepted" in decision_of(Calibration(speaker=SPEAKER)).rule
    assert "Only liveness" in decision_of(Calibration(liveness=LIVENESS)).rule


def test_the_risk_stated_is_that_of_the_calibration() -> None:
    found = decision_of(_decided(RuleFusion(speaker=0.3, liveness=-0.2), FalseAcceptAim(rate=0.01, costs=ASVSPOOF5)))
    assert found.parameters["far"] == 0.01
    assert "false accepts to 1 %" in found.rule
    by_key = {measure.key: measure for measure in found.stated}
    assert by_key["false_rejects"].value == 0.05
    assert by_key["false_accepts"].errors == 1
    assert by_key["attacks_accepted"].value is None, "eight trials give an interval alone"
    assert by_key["attacks_accepted"].high == 0.2
    assert SPEAKER.ratios(found.thresholds["speaker"]) == pytest.approx(0.3)


def test_one_score_of_both_has_one_threshold() -> None:
    found = decision_of(_decided(ProductFusion(rho=0.4), CostAim(costs=ASVSPOOF5)))
    assert found.thresholds == {"fused, nats": 0.0}
    assert "far" not in found.parameters
    assert found.parameters["p_spoof"] == 0.05


def test_probabilities_that_are_right_lie_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    # The log ratio of two normal classes that are 2 apart, with variance 1: its own mean is ±2, its variance 4.
    genuine, others = (ClassScores.of(rng.normal(mean, 2, 4000), np.arange(4000) % 50) for mean in (2, -2))
    found = reliability_of("speaker", Bootstrap(50, resamples=50), genuine, others)
    assert found is not None
    assert found.cllr.value == cllr(genuine.scores, others.scores)
    assert found.min_cllr.value is not None
    assert found.min_cllr.value <= found.cllr.value + 1e-12
    for one in found.bins:
        assert one.low - 0.03 <= one.predicted <= one.high + 0.03
    assert sum(one.count for one in found.bins) == 8000


def test_few_trials_give_no_reliability() -> None:
    few = ClassScores.of(np.zeros(9), np.arange(9))
    many = ClassScores.of(np.zeros(50), np.arange(50) % 9)
    assert reliability_of("speaker", Bootstrap(9), few, many) is None
