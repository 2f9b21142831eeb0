from collections.abc import Callable

import pytest

from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.conclusion import FEW_SPEAKERS, Conclusion, conclude
from vivavoce.evaluation.report.results import AbstentionRow, Decision, EvaluationResult, VerdictRow

from .complete import complete_result, rate


def _result(rows: list[VerdictRow], **more) -> EvaluationResult:
    return EvaluationResult(
        run_id="r", date="2026-01-01", command="c", data_name="m", simulated=False, data=[], verdicts=rows, **more
    )


def _row(truth: str, accepted: int, total: int, verdict: str = "not_live") -> VerdictRow:
    return VerdictRow(truth=truth, counts={"accept": accepted, verdict: total - accepted})


def _decision(far: float | None = None, stated: list[Measure] | None = None) -> Decision:
    return Decision(rule="r", thresholds={}, parameters={} if far is None else {"far": far}, stated=stated or [])


def _said(conclusion: Conclusion, subject: str) -> str:
    return next(finding.text for finding in conclusion.findings if finding.subject == subject)


def test_without_a_stated_risk_the_title_is_what_was_found() -> None:
    found = conclude(_result([_row("target", 90, 100), _row("nontarget", 0, 50), _row("shifted", 3, 100)]))
    assert found.title == (
        "Of 100 live recordings, 90 are accepted; of 100 by another person, none is let in; "
        "of 100 attacks, 3 are let in."
    )
    assert found.summary == ""
    assert not any(finding.promises for finding in found.findings)


def test_no_error_still_has_an_upper_bound() -> None:
    found = conclude(_result([_row("nontarget", 0, 50), _row("shifted", 0, 200), _row("tts", 0, 40)]))
    assert _said(found, "Other people") == "None of 50 trials was let in: at most 7.2 %."  # 1 - 0.025^(1/50) = 7.11 %
    assert _said(found, "Attacks") == "None of 240 trials was let in: at most 1.6 %."
    assert _said(found, "Least certain") == (
        "No kind was let in once. Synthetic voice: none of 40 trials was let in: at most 8.9 %."
    )


def test_the_weakest_species_is_named() -> None:
    found = conclude(_result([_row("shifted", 5, 100), _row("tts", 1, 10), _row("replay_stand", 0, 100)]))
    assert _said(found, "Weakest point").startswith("Synthetic voice: 1 of 10 trials (10.0 %) was let in: at most ")
    few = conclude(_result([_row("shifted", 5, 100), _row("tts", 1, 3)]))
    assert _said(few, "Weakest point").startswith("Right mouth, wrong time: 5 of 100")
    alone = conclude(_result([_row("shifted", 5, 100)]))
    assert [finding.subject for finding in alone.findings] == ["Attacks"]


@pytest.mark.parametrize(
    ("accepted", "trials", "title", "sentence"),
    [
        (0, 3000, "The stated risk was kept.", "was kept: 0 of 3\u202f000, at most 0.1 %."),
        (
            0, 500, "These trials are too few to show that the stated risk was kept.",
            "was kept here: 0 of 500. 500 trials cannot settle it: between 0 % and 0.6 % would fit.",
        ),
        (
            1, 500, "These trials are too few to show that the stated risk was kept.",
            "was passed here: 1 of 500. 500 trials cannot settle it: between 0.005 % and 1.2 % would fit.",
        ),
        (30, 3000, "The stated risk was not kept.", "was not kept: 30 of 3\u202f000, at least 0.67 %."),
    ],
)  # fmt: skip
def test_the_false_accept_rate_asked_for(accepted: int, trials: int, title: str, sentence: str) -> None:
    measure = rate("false_accepts", "Other people accepted", accepted, trials, "nontarget")
    found = conclude(_result([], system_measures=[measure], decision=_decision(0.001)))
    assert found.title == title
    (risk,) = found.findings[0].promises
    assert risk.sentence == f"The stated false-accept rate of 0.1 % {sentence}"


@pytest.mark.parametrize(
    ("errors", "status", "ending"),
    [(6, "kept", "It held here"), (40, "broken", "More were found here"), (0, "kept", "Fewer were found here")],
)
def test_rates_foretold_on_the_validation_split(errors: int, status: str, ending: str) -> None:
    stated = rate("false_rejects", "Users rejected", 15, 300, "target")
    here = rate("false_rejects", "Users rejected", errors, 200, "target")
    found = conclude(_result([], system_measures=[here], decision=_decision(stated=[stated])))
    (risk,) = found.findings[0].promises
    assert risk.status == status
    assert f"{ending}:" in risk.sentence


def test_the_false_accept_rate_holds_for_attacks_too() -> None:
    found = conclude(_result([_row("nontarget", 0, 4000), _row("tts", 40, 400)], decision=_decision(0.001)))
    assert found.title == "The stated risk was not kept."
    others, attacks = (finding.promises[0] for finding in found.findings[:2])
    assert (others.status, attacks.status) == ("kept", "broken")
    assert attacks.sentence.startswith("The stated rate of accepted attacks, 0.1 %, was not kept: 40 of 400, at least")


def test_stated_rates_are_compared_over_trials_with_an_answer() -> None:
    stated = rate("false_rejects", "users rejected", 10, 200, "target")
    row = VerdictRow(truth="target", counts={"accept": 95, "not_live": 5, "abstain": 100})
    here = rate("false_rejects", "users rejected", 105, 200, "target")  # no answer included
    (risk,) = conclude(_result([row], system_measures=[here], decision=_decision(stated=[stated]))).findings[0].promises
    assert risk.status == "kept"
    assert risk.found.startswith("5.0 %")


def test_a_decision_that_states_nothing_changes_nothing() -> None:
    rows = [_row("target", 90, 100)]
    assert conclude(_result(rows, decision=_decision())) == conclude(_result(rows))
    assert conclude(_result(rows, decision=_decision(0.001))) == conclude(_result(rows))  # nobody else was tried


def test_voices_alone_say_what_the_voice_can_do(build_result: Callable[..., EvaluationResult]) -> None:
    result = build_result(species=())
    rows = [VerdictRow(truth=name, counts={"abstain": 100}) for name in ("target", "nontarget")]
    found = conclude(result.model_copy(update={"verdicts": rows}))
    assert found.title.startswith("By voice alone, of 100 recordings by the user ")
    assert found.findings == []
    assert "Liveness was not measured." in [caution.subject for caution in found.cautions]


def test_nothing_decided() -> None:
    assert conclude(_result([])).title == "Nothing was decided on these recordings."


def test_recordings_without_an_answer() -> None:
    rows = [
        AbstentionRow(kind="live", recordings=90, reasons={"too quiet": 2, "hold still": 5}),
        AbstentionRow(kind="shifted", recordings=10, reasons={"too quiet": 1}),
        AbstentionRow(kind="probe_absent", recordings=40, reasons={"no probe": 40}),
    ]
    found = conclude(_result([_row("target", 80, 90)], abstentions=rows))
    assert _said(found, "No answer").startswith(
        "8 of 100 readable recordings (8.0 %) could not be judged, most often: hold still."
    )


def test_cautions(result: EvaluationResult) -> None:
    found = conclude(result.model_copy(update={"notes": ["Beware."]}))
    assert [caution.subject for caution in found.cautions] == ["Simulated recordings.", "Only 20 speakers.", "Note."]
    assert found.cautions[-1].text == "Beware."
    assert result.speaker is not None
    many = result.speaker.model_copy(update={"n_speakers": FEW_SPEAKERS})
    real = conclude(result.model_copy(update={"simulated": False, "speaker": many}))
    assert real.cautions == []


def test_the_measures_of_the_system_go_before_counts() -> None:
    result = complete_result()
    measure = rate("false_accepts", "Other people accepted", 3, 100, "nontarget")
    others = [m for m in result.system_measures if m.key != "false_accepts"]
    found = conclude(result.model_copy(update={"system_measures": [measure, *others]}))
    assert _said(found, "Other people").startswith("3 of 100 trials (3.0 %) were let in")
