import numpy as np

from vivavoce.evaluation.worst import MOST, choose_worst

from .test_breakdowns import _judged


def _found(most: int = MOST):
    judged = _judged(3)
    score = judged.scores.score
    verdicts = np.where(np.isnan(score), "abstain", np.where(score >= 0, "accept", "not_live"))
    return judged, choose_worst(judged.rows, judged.scores, judged.test, verdicts, most)


def test_the_widest_margins_come_first_and_no_recording_twice_in_a_class() -> None:
    judged, found = _found()
    trials, score = judged.scores.trials, judged.scores.score
    by_truth = {
        truth: [one for one in found if one.truth == truth] for truth in ("target", "nontarget", "replay_stand")
    }
    for errors in by_truth.values():
        assert 0 < len(errors) <= MOST
        margins = [one.margin for one in errors]
        assert margins == sorted(margins, reverse=True)
        assert margins[-1] >= 0
        assert len({one.recording for one in errors}) == len(errors)
    assert by_truth["target"][0].margin == -np.nanmin(score[trials.is_target])
    assert by_truth["nontarget"][0].margin == np.nanmax(score[trials.is_nontarget])


def test_only_wrong_decisions_are_shown_and_no_answer_is_none() -> None:
    _, found = _found(most=1000)
    for one in found:
        assert one.verdict == ("not_live" if one.truth == "target" else "accept")
        assert one.enrolled is not None
        assert one.conditions["speaker"] == one.recording.split("-")[0]
