import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.evaluation.calibration.decision import Decision
from vivavoce.evaluation.calibration.fusion import LogisticFusion, ProductFusion, RuleFusion
from vivavoce.evaluation.calibration.known import Known
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.judging import judge
from vivavoce.evaluation.verdict import Evidence, decide
from vivavoce.signal.quality import ProbeQuality

SPEAKER = PartCalibration(scale=6, offset=-3, threshold=0.5, eer=0.1, n_target=50, n_nontarget=200)
LIVENESS = LivenessCalibration(
    scale=1.5, offset=0.2, threshold=-0.4, eer=0.1, n_target=50, n_nontarget=60, growth=0.5, reference_s=3.0
)
FUSIONS = {
    "none": None,
    "rule": RuleFusion(speaker=0.3, liveness=-0.2),
    "product": ProductFusion(rho=0.4),
    "logistic": LogisticFusion(speaker=0.5, liveness=0.7, weaker=0.2, offset=-0.1),
}
GOOD = ProbeQuality(True, 30.0, 1.0, "")


def _calibration(kind: str, threshold: float = 0.1) -> Calibration:
    if kind == "training":
        return Calibration(speaker=SPEAKER, liveness=LIVENESS)
    if kind == "voice":
        return Calibration(speaker=SPEAKER)
    decision = Decision.model_construct(fusion=FUSIONS[kind], threshold=0.0 if kind == "rule" else threshold)
    if kind == "none":
        return Calibration.model_construct(speaker=None, liveness=LIVENESS, decision=decision)
    return Calibration.model_construct(speaker=SPEAKER, liveness=LIVENESS, decision=decision)


@pytest.mark.parametrize("kind", ["training", "voice", *FUSIONS])
@given(seed=st.integers(0, 30))
def test_many_are_judged_as_each_is(kind: str, seed: int) -> None:
    calibration, rng = _calibration(kind), np.random.default_rng(seed)
    count = 40
    speaker, liveness = rng.normal(0.5, 0.4, count), rng.normal(0, 1.5, count)
    liveness[rng.random(count) < 0.2] = np.nan
    seconds, doubted = rng.uniform(1, 9, count), rng.random(count) < 0.2
    found = judge(calibration, speaker, liveness, Known(seconds), doubted)
    for number in range(count):
        spans = [(0.2, 0.9)] if doubted[number] else []
        evidence = Evidence(speaker[number], liveness[number], GOOD, seconds[number], spans)
        assert found[number] == decide(evidence, calibration).verdict.value


@pytest.mark.parametrize("kind", ["training", "rule", "product", "logistic"])
def test_accepted_is_what_the_fused_score_accepts(kind: str) -> None:
    calibration, rng = _calibration(kind), np.random.default_rng(1)
    speaker, liveness, seconds = rng.normal(0.5, 0.4, 300), rng.normal(0, 1.5, 300), rng.uniform(1, 9, 300)
    found = judge(calibration, speaker, liveness, Known(seconds), np.zeros(300, bool))
    fused = calibration.fused(speaker, liveness, seconds)
    if kind == "training":  # its line grows with the duration, its threshold does not
        seconds = np.full(300, LIVENESS.reference_s)
    np.testing.assert_array_equal(found == "accept", fused >= calibration.threshold)


def test_thresholds_of_one_question_are_told_where_it_is_judged_alone() -> None:
    assert _calibration("training").needed("speaker") == 0.5
    rule = _calibration("rule").needed("speaker")
    assert rule is not None
    assert SPEAKER.ratios(rule) == pytest.approx(0.3)
    assert _calibration("product").needed("speaker") is None
    assert _calibration("none").needed("speaker") is None
