import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.corpus.policy import Cut, Policy, choose_cut, few_data_note
from vivavoce.errors import UserError


@pytest.mark.parametrize(
    ("recordings", "shares"),
    [
        (40, (0.6, 0.2, 0.2)),
        (99_999, (0.6, 0.2, 0.2)),
        (100_000, (0.8, 0.1, 0.1)),
        (999_999, (0.8, 0.1, 0.1)),
        (1_000_000, (0.98, 0.01, 0.01)),
    ],
)
def test_shares_by_size(recordings, shares):
    cut = choose_cut(Policy.AUTO, recordings)
    assert cut.policy is Policy.THREE_WAY
    assert cut.parts == ("train", "validation", "test")
    assert cut.fractions == pytest.approx(shares)
    few = choose_cut(Policy.AUTO, recordings, few_hyperparameters=True)
    assert few.fractions == pytest.approx((shares[0] + shares[1] / 2, shares[1] / 2, shares[2]))


def outcome(policy: Policy, recordings: int, **options) -> tuple[Cut | None, str]:
    try:
        return choose_cut(policy, recordings, **options), ""
    except UserError as error:
        return None, str(error)


@given(
    st.sampled_from(Policy),
    st.integers(1, 10**7),
    st.none() | st.just((0.5, 0.3, 0.2)) | st.just((0.7, 0.0, 0.3)),
    st.none() | st.integers(0, 12),
    st.booleans(),
)
def test_every_choice_is_a_whole_cut_with_one_sentence_or_is_refused_in_one(policy, recordings, fractions, folds, few):
    options = {"fractions": fractions, "folds": folds, "few_hyperparameters": few}
    cut, refusal = outcome(policy, recordings, **options)
    if cut is None:
        assert refusal.count(". ") == 0
        assert refusal.endswith(".")
        return
    assert sum(cut.fractions) == pytest.approx(1)
    assert len(cut.fractions) == len(cut.parts) == (cut.folds or len(cut.parts))
    assert cut.why.endswith(".")
    assert cut.why.count(". ") == 0
    assert (cut.folds is not None) == (cut.policy is Policy.KFOLD)
    if fractions and cut.policy is not Policy.KFOLD:
        assert cut.fractions == tuple(share for share in fractions if share)


def test_the_sentence_names_the_size_and_the_shares():
    assert "1,200,000 recordings" in choose_cut(Policy.AUTO, 1_200_000).why
    assert "98:1:1" in choose_cut(Policy.AUTO, 1_200_000).why
    assert "fixed beforehand" in choose_cut(Policy.HOLDOUT, 40).why
    assert choose_cut(Policy.HOLDOUT, 40).fractions == (0.8, 0.2)
    assert choose_cut(Policy.KFOLD, 40).folds == 5
    assert choose_cut(Policy.AUTO, 40, folds=4).fractions == (0.25,) * 4


@pytest.mark.parametrize(
    ("policy", "options", "part"),
    [
        (Policy.AUTO, {"folds": 2}, "2 folds are too few"),
        (Policy.KFOLD, {"folds": 0}, "0 folds are too few"),
        (Policy.HOLDOUT, {"folds": 5}, "--folds does not go with --policy holdout"),
        (Policy.THREE_WAY, {"folds": 5}, "--folds does not go with --policy three-way"),
        (Policy.KFOLD, {"fractions": (0.6, 0.2, 0.2)}, "--fractions does not go with folds"),
        (Policy.AUTO, {"folds": 3, "few_hyperparameters": True}, "--few-hyperparameters does not go with folds"),
        (Policy.HOLDOUT, {"few_hyperparameters": True}, "no validation part"),
        (Policy.HOLDOUT, {"fractions": (0.6, 0.2, 0.2)}, "such as 0.8 0 0.2"),
        (Policy.AUTO, {"fractions": (0.8, 0.0, 0.2)}, "three positive numbers"),
        (Policy.AUTO, {"fractions": (0.6, 0.2, 0.2), "few_hyperparameters": True}, "leave one out"),
    ],
)
def test_contradictions_are_refused(policy, options, part):
    with pytest.raises(UserError, match=part):
        choose_cut(policy, 1000, **options)


def test_few_test_speakers_get_an_advice_that_can_be_followed():
    assert few_data_note(20, 100) is None
    assert few_data_note(2, 2) is None
    assert "--folds 4" in (few_data_note(1, 4) or "")
    assert "--folds 5" in (few_data_note(19, 95) or "")
