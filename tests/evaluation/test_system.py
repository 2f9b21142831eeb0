from dataclasses import replace

import numpy as np
import pytest

from vivavoce.evaluation.bootstrap import Bootstrap
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5, act_a_dcf_of, min_a_dcf
from vivavoce.evaluation.metrics.tandem import t_eer
from vivavoce.evaluation.scores import TrialScores
from vivavoce.evaluation.system import bootstrap_of, class_scores, species_of, system_measures

from .drawn_trials import drawn_scores


def _measure(scores: TrialScores, boot: Bootstrap | None = None) -> dict[str, Measure]:
    assert scores.threshold is not None
    accepted, abstained = scores.score >= scores.threshold, np.isnan(scores.score)
    found = system_measures(scores, accepted, abstained, boot or bootstrap_of(scores.trials))
    return {f"{one.key} {one.species or ''}".strip(): one for one in found} | {
        one.name: one for one in found if one.key == "abstention"
    }


def test_figures_are_those_of_the_metrics() -> None:
    scores = drawn_scores()
    found = _measure(scores)
    classes = {name: trials.scores for name, trials in class_scores(scores.trials, scores.score).items()}
    target, nontarget, spoof = (classes[name] for name in ("target", "nontarget", "spoof"))
    assert found["sv_eer"].value == eer(target, nontarget).rate
    assert found["spf_eer"].value == eer(target, spoof).rate
    assert found["sasv_eer"].value == eer(target, np.concatenate([nontarget, spoof])).rate
    assert found["min_a_dcf"].value == min_a_dcf(target, nontarget, spoof).value
    assert "p_spoof=0.05" in found["min_a_dcf"].name
    assert set(species_of(scores.trials)) == {"replay_stand", "swapped_mouth"}
    for one in found.values():
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.high


def test_no_answer_is_no_acceptance_and_is_counted() -> None:
    scores = drawn_scores(1)
    found = _measure(scores)
    trials, accepted = scores.trials, scores.score >= 1.5
    assert found["false_rejects"].value == (~accepted[trials.is_target]).mean()
    assert found["false_accepts"].value == accepted[trials.is_nontarget].mean()
    for kind in species_of(trials):
        assert found[f"iapar {kind}"].value == accepted[trials.labels == kind].mean()
    worst = max(accepted[trials.labels == kind].mean() for kind in species_of(trials))
    assert found["iapar_worst"].value == worst
    assert (found["iapar_worst"].low or 0) >= max(found[f"iapar {kind}"].low or 0 for kind in species_of(trials))
    assert (found["iapar_worst"].high or 0) >= max(found[f"iapar {kind}"].high or 0 for kind in species_of(trials))
    rates = (found["false_rejects"].value, found["false_accepts"].value, accepted[trials.is_spoof].mean())
    assert found["act_a_dcf"].value == pytest.approx(float(act_a_dcf_of(*rates, ASVSPOOF5)))
    assert found["no answer, target trials"].value == np.isnan(scores.score)[trials.is_target].mean()


def test_the_tandem_hears_only_trials_with_both_answers() -> None:
    scores = drawn_scores(2)
    assert scores.speaker is not None
    assert scores.liveness is not None
    heard = ~np.isnan(scores.liveness)
    trials = scores.trials
    live = scores.liveness[heard & (trials.is_target | trials.is_nontarget)]
    parts = [scores.speaker[heard & mask] for mask in (trials.is_target, trials.is_nontarget, trials.is_spoof)]
    assert _measure(scores)["t_eer"].value == t_eer(*parts, live, scores.liveness[heard & trials.is_spoof])


def test_a_system_without_liveness_has_no_tandem_and_no_abstention() -> None:
    scores = drawn_scores(3)
    voice = replace(scores, score=scores.speaker, speaker=None, liveness=None)
    found = _measure(voice)
    assert not {"t_eer", "min_t_dcf"} & found.keys()
    assert found["no answer, spoof trials"].value == 0
    # It has nothing against attacks with the user's voice.
    assert found["spf_eer"].value == pytest.approx(0.5, abs=0.1)
    assert found["sv_eer"].value is not None
    assert found["sv_eer"].value < 0.12


def test_more_speakers_make_intervals_narrower() -> None:
    def width(speakers: int) -> float:
        one = _measure(drawn_scores(4, speakers=speakers))["sasv_eer"]
        assert one.low is not None
        assert one.high is not None
        return one.high - one.low

    assert width(80) < 0.75 * width(12)


def test_the_same_trials_give_the_same_draws() -> None:
    first, second = bootstrap_of(drawn_scores(5).trials), bootstrap_of(drawn_scores(5).trials)
    np.testing.assert_array_equal(first.draws, second.draws)
