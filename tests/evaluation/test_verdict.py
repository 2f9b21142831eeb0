import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.evaluation.calibration.decision import CostAim, Decision, Optimum, Risk, StatedRate
from vivavoce.evaluation.calibration.fusion import Fusion, LogisticFusion, ProductFusion, RuleFusion
from vivavoce.evaluation.calibration.maps import LogisticMap, QualityTerm, RatioMaps
from vivavoce.evaluation.calibration.parts import Calibration, LivenessCalibration, PartCalibration
from vivavoce.evaluation.calibration.seen import SeenScores
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5
from vivavoce.evaluation.verdict import Answer, Evidence, decide, ratios
from vivavoce.signal.quality import ProbeQuality
from vivavoce.signal.reasons import Reason

NAN = float("nan")


def part(threshold: float) -> PartCalibration:
    return PartCalibration(scale=2.0, offset=-2.0 * threshold, threshold=threshold, eer=0.05, n_target=9, n_nontarget=9)


BOTH = Calibration(speaker=part(0.4), liveness=LivenessCalibration(**part(1.0).model_dump()))
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


MOUTH_ONLY = Calibration(liveness=LivenessCalibration(**part(1.0).model_dump()))


@pytest.mark.parametrize(("liveness", "answer"), [(2.0, Answer.ACCEPT), (0.5, Answer.NOT_LIVE), (NAN, Answer.ABSTAIN)])
def test_a_run_without_speakers_answers_liveness_alone(liveness, answer):
    verdict = decide(Evidence(NAN, liveness, NONE if math.isnan(liveness) else FINE), MOUTH_ONLY)
    assert verdict.verdict is answer
    assert (verdict.speaker_score, verdict.speaker_threshold, verdict.speaker_probability) == (None, None, None)
    assert "voice is" not in verdict.reason or "not asked" in verdict.reason


def test_an_abstention_tells_the_user_what_to_do():
    moving = ProbeQuality(True, -30.0, 40.0, Reason.MOVING.value)
    verdict = decide(Evidence(0.7, NAN, moving), BOTH)
    assert verdict.advice == "Hold the phone still while you speak."
    assert verdict.abstained == "hold still"
    assert verdict.confidence is None
    answered = decide(Evidence(0.7, 2.0, FINE), BOTH)
    assert (answered.advice, answered.abstained) == (None, None)
    assert decide(Evidence(0.7, 2.0, FINE), VOICE_ONLY).abstained == "no liveness"


@pytest.mark.parametrize("reason", [reason.value for reason in Reason])
@pytest.mark.parametrize("speaker", [0.1, 0.9])
def test_no_reason_is_ever_an_accept(reason, speaker):
    assert decide(Evidence(speaker, NAN, ProbeQuality(True, -30.0, 40.0, reason)), BOTH).verdict is Answer.ABSTAIN


@pytest.mark.parametrize(
    ("spans", "score", "said"),
    [
        ([(1.2, 2.0)], 9.0, "The words between 1.2 s and 2.0 s do not belong to the mouth."),
        ([(1.2, 2.0)], -9.0, "The words between 1.2 s and 2.0 s do not belong to the mouth."),
        ([(0.1, 0.6), (2, 2.5)], 9.0, "between 0.1 s and 0.6 s, and between 2.0 s and 2.5 s"),
        ([(0.0, 3.0)], -9.0, "The echo does not move with the words"),  # a replay, not a splice
        ([(0.0, 3.0)], 9.0, "The words between 0.0 s and 3.0 s"),
    ],
)
def test_words_that_do_not_belong_are_not_live(spans, score, said):
    verdict = decide(Evidence(0.9, score, FINE, 3.0, spans), BOTH)
    assert verdict.verdict is Answer.NOT_LIVE
    assert said in verdict.reason
    assert verdict.segments == spans
    assert verdict.liveness_probability == pytest.approx(0.02 / 1.02)
    assert verdict.confidence == pytest.approx(1 / 1.02)


@given(speaker=st.floats(-1, 1), liveness=st.floats(-50, 50), prior=st.floats(0.01, 0.99))
def test_confidence_is_a_probability_that_no_few_trials_make_certain(speaker, liveness, prior):
    verdict = decide(Evidence(speaker, liveness, FINE, 3.0), BOTH, prior)
    assert 0 < verdict.confidence < 1
    # Nine trials a class vouch for odds of 10 : 1, at the prior.
    most = 10 * prior / (10 * prior + 1 - prior)
    assert verdict.liveness_probability <= most + 1e-9
    if verdict.verdict is Answer.ACCEPT:
        assert verdict.confidence == pytest.approx(verdict.speaker_probability * verdict.liveness_probability)


def decided(fusion: Fusion | None, threshold: float, parts: Calibration = BOTH) -> Calibration:
    """A run that `vivavoce calibrate` gave a decision."""
    miss = StatedRate(rate=0, errors=0, trials=9, low=0, high=0.34, method="exact")
    decision = Decision(
        method="logistic",
        fusion=fusion,
        threshold=threshold,
        aim=CostAim(costs=ASVSPOOF5),
        risk=Risk(miss=miss),
        optimum=Optimum(cost=0, least=0, threshold=0),
    )
    return parts.model_copy(update={"decision": decision})


RULE = decided(RuleFusion(speaker=0.0, liveness=0.0), 0.0)
PRODUCT = decided(ProductFusion(rho=0.5), 0.2)
TRAINED = decided(LogisticFusion(speaker=0.1, liveness=0.2, weaker=0.8, offset=0.1), 0.3)


@given(speaker=st.floats(-1, 1), liveness=st.floats(-9, 9))
def test_a_rule_at_even_ratios_decides_as_the_two_thresholds_there(speaker, liveness):
    evidence = Evidence(speaker, liveness, FINE, 3.0)
    old, new = decide(evidence, BOTH), decide(evidence, RULE)
    if min(abs(speaker - 0.4), abs(liveness - 1.0)) > 1e-9:  # the line rounds
        assert new.verdict is old.verdict
        assert new.reason == old.reason
    assert new.speaker_threshold == pytest.approx(old.speaker_threshold)
    assert new.liveness_threshold == pytest.approx(old.liveness_threshold)
    assert (new.speaker_probability, new.liveness_probability) == (old.speaker_probability, old.liveness_probability)


@given(speaker=st.floats(-1, 1), liveness=st.floats(-9, 9))
@pytest.mark.parametrize("calibration", [RULE, PRODUCT, TRAINED])
def test_what_is_accepted_is_what_the_fused_score_says(calibration, speaker, liveness):
    verdict = decide(Evidence(speaker, liveness, FINE, 3.0), calibration)
    assert verdict.fused_score == pytest.approx(float(calibration.fused(speaker, liveness, 3.0)))
    assert verdict.fused_threshold == calibration.threshold
    assert (verdict.verdict is Answer.ACCEPT) == (verdict.fused_score >= verdict.fused_threshold)


@pytest.mark.parametrize("calibration", [PRODUCT, TRAINED])
def test_a_fused_refusal_names_the_weaker_answer(calibration):
    mouth = decide(Evidence(0.9, -1.0, FINE), calibration)
    assert mouth.verdict is Answer.NOT_LIVE
    assert "does not move with the words well enough" in mouth.reason
    voice = decide(Evidence(0.0, 3.0, FINE), calibration)
    assert voice.verdict is Answer.NOT_THE_SPEAKER
    assert "hardly the enrolled speaker's" in voice.reason
    for verdict in (mouth, voice):
        assert f"{verdict.fused_score:.2f} nats, {calibration.threshold:.2f} needed" in verdict.reason
        assert (verdict.speaker_threshold, verdict.liveness_threshold) == (None, None)


@pytest.mark.parametrize("calibration", [RULE, PRODUCT, TRAINED])
def test_a_fused_decision_abstains_and_doubts_as_ever(calibration):
    silent = decide(Evidence(0.7, NAN, NONE), calibration)
    assert silent.verdict is Answer.ABSTAIN
    assert silent.fused_score is None
    assert "the voice is the enrolled speaker's" in silent.reason
    assert "is not the enrolled" in decide(Evidence(0.1, NAN, NONE), calibration).reason
    spliced = decide(Evidence(0.9, 9.0, FINE, 3.0, [(1.2, 2.0)]), calibration)
    assert spliced.verdict is Answer.NOT_LIVE
    assert "between 1.2 s and 2.0 s" in spliced.reason


def test_one_question_alone_is_decided_by_its_ratio():
    mouth = decided(None, 2.0, MOUTH_ONLY)
    assert decide(Evidence(NAN, 2.1, FINE), mouth).verdict is Answer.ACCEPT
    refused = decide(Evidence(NAN, 1.9, FINE), mouth)
    assert refused.verdict is Answer.NOT_LIVE
    assert refused.liveness_threshold == pytest.approx(2.0)  # two nats above the line's zero at 1
    assert decide(Evidence(0.7, NAN, FINE), decided(None, 0.0, VOICE_ONLY)).verdict is Answer.ABSTAIN


def test_the_condition_and_the_quality_of_a_recording_move_its_ratio_and_its_threshold():
    counts = {"n_target": 99, "n_nontarget": 99}
    noise = QualityTerm(name="snr_db", weight=0.1, low=0.0, high=20.0)
    maps = RatioMaps(
        pooled=LogisticMap(scale=2.0, offset=-2.0, terms=(noise,), **counts),
        plain=LogisticMap(scale=2.0, offset=-1.0, **counts),
        by="posture",
        maps={"handheld": LogisticMap(scale=2.0, offset=-4.0, **counts)},
    )
    mouth = LivenessCalibration(**part(1.0).model_dump()).model_copy(update={"maps": maps})
    calibration = decided(RuleFusion(speaker=0.0, liveness=0.0), 0.0, BOTH.model_copy(update={"liveness": mouth}))
    for more, ratio in (
        ({}, 1.0),  # 2 - 1
        ({"measures": {"snr_db": 10.0}}, 1.0),  # 2 - 2 + 1
        ({"measures": {"snr_db": 90.0}}, 2.0),  # no more than 20 dB were seen
        ({"conditions": {"posture": "handheld"}}, -2.0),
    ):
        evidence = Evidence(0.9, 1.0, FINE, None, (), **more)
        assert ratios(evidence, calibration).liveness == pytest.approx(ratio)
        verdict = decide(evidence, calibration)
        assert verdict.liveness_threshold == pytest.approx(1.0 - ratio / 2)
        assert (verdict.verdict is Answer.ACCEPT) == (ratio >= 0)


def test_a_score_that_the_calibration_has_never_seen_is_noted():
    seen = {"target": SeenScores.of([0.5, 0.9]), "nontarget": SeenScores.of([-0.2, 0.3])}
    calibration = BOTH.model_copy(update={"speaker": part(0.4).model_copy(update={"seen": seen})})
    assert decide(Evidence(0.7, 99.0, FINE), calibration).notes == []
    (note,) = decide(Evidence(-0.7, 99.0, FINE), calibration).notes
    assert "speaker score -0.70" in note
