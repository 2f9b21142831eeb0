"""How a corpus is cut: which parts of which size, by how much data there is and what it is for."""

from dataclasses import dataclass
from enum import StrEnum

from vivavoce.errors import UserError

SPLITS = ("train", "validation", "test")
HUNDREDS_OF_THOUSANDS, MILLIONS = 100_000, 1_000_000
# With fewer speakers in the test part than this, one split's figures depend much on who is in it.
FEW_TEST_SPEAKERS = 20
DEFAULT_FOLDS, LEAST_FOLDS = 5, 3


class Policy(StrEnum):
    """Ways to cut a corpus."""

    AUTO = "auto"
    HOLDOUT = "holdout"
    THREE_WAY = "three-way"
    KFOLD = "kfold"


class Grouping(StrEnum):
    """What may never be in two parts of a split."""

    SPEAKER = "speaker"
    SESSION = "session"


@dataclass(frozen=True)
class Cut:
    """A decision: the names and fractions of the parts, and one sentence why.

    With ``folds`` the parts are that many equal ones, and each is the test part of one fold.
    """

    policy: Policy
    parts: tuple[str, ...]
    fractions: tuple[float, ...]
    folds: int | None
    why: str


def choose_cut(
    policy: Policy,
    recordings: int,
    *,
    fractions: tuple[float, float, float] | None = None,
    folds: int | None = None,
    few_hyperparameters: bool = False,
) -> Cut:
    """Choose how to cut a corpus of this many recordings.

    The shares are those usual in the field: 80:20 where only training and test are needed; 60:20:20 up to tens of
    thousands of recordings; 98:1:1 for millions, whose hundredth is many still. Between these, 80:10:10. Where few
    hyper-parameters are tuned, half of the validation share goes to training.

    Args:
        policy: ``auto`` takes folds if ``folds`` is given, else three parts by size.
        recordings: in the corpus.
        fractions: of train, validation and test, instead of those by size; with ``holdout`` validation's is 0.
        folds: parts of a cross-validation.
        few_hyperparameters: few settings are chosen on the validation part, so that it can be smaller.

    Raises:
        UserError: options that contradict each other, impossible fractions, or fewer than three folds.
    """
    if policy is Policy.KFOLD or (policy is Policy.AUTO and folds is not None):
        return _folds(DEFAULT_FOLDS if folds is None else folds, recordings, fractions, few_hyperparameters)
    if folds is not None:
        raise UserError(f"--folds does not go with --policy {policy}; leave one of them out.")
    if policy is Policy.HOLDOUT:
        return _holdout(recordings, fractions, few_hyperparameters)
    if fractions is not None:
        if few_hyperparameters:
            raise UserError("--few-hyperparameters does not go with --fractions, which say it all; leave one out.")
        check_fractions(fractions)
        return Cut(Policy.THREE_WAY, SPLITS, fractions, None, f"Cut {_ratio(fractions)}, as --fractions asks.")
    shares, reason = _by_size(recordings)
    if few_hyperparameters:
        shares = (shares[0] + shares[1] / 2, shares[1] / 2, shares[2])
        reason += ", with half of the validation share given to training since few hyper-parameters are tuned"
    return Cut(Policy.THREE_WAY, SPLITS, shares, None, f"Cut {_ratio(shares)}, {reason}.")


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Refuse anything but three positive numbers with the sum 1, with a UserError."""
    if len(fractions) != len(SPLITS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"The fractions {_list(fractions)} are not three positive numbers with the sum 1; correct them."
        )


def _by_size(recordings: int) -> tuple[tuple[float, float, float], str]:
    count = f"{recordings:,} recordings"
    if recordings >= MILLIONS:
        return (0.98, 0.01, 0.01), f"since a hundredth of {count} is enough to choose and to test on"
    if recordings >= HUNDREDS_OF_THOUSANDS:
        return (0.8, 0.1, 0.1), f"between what is usual for tens of thousands and for millions, since there are {count}"
    return (0.6, 0.2, 0.2), f"as is usual up to tens of thousands of recordings, since there are {count}"


def _holdout(recordings: int, fractions: tuple[float, float, float] | None, few: bool) -> Cut:
    if few:
        raise UserError("--few-hyperparameters does not go with --policy holdout, which has no validation part.")
    shares = (0.8, 0.2)
    if fractions is not None:
        train, validation, test = fractions
        if validation != 0 or min(train, test) <= 0 or abs(train + test - 1) > 1e-6:
            raise UserError(
                f"The fractions {_list(fractions)} do not fit --policy holdout, which has no validation part; write "
                "two positive numbers with the sum 1 around a 0, such as 0.8 0 0.2."
            )
        shares = (train, test)
    why = (
        f"Cut {_ratio(shares)} into training and test parts of the {recordings:,} recordings, without validation: "
        "that is for models whose settings, epochs and thresholds are all fixed beforehand."
    )
    return Cut(Policy.HOLDOUT, (SPLITS[0], SPLITS[2]), shares, None, why)


def _folds(folds: int, recordings: int, fractions: tuple[float, float, float] | None, few: bool) -> Cut:
    if fractions is not None or few:
        option = "--fractions" if fractions is not None else "--few-hyperparameters"
        raise UserError(f"{option} does not go with folds, which are of equal size; leave it out.")
    if folds < LEAST_FOLDS:
        raise UserError(
            f"{folds} folds are too few: each fold trains, validates and tests on parts of its own; take 3 or more."
        )
    why = (
        f"Cut into {folds} folds, so that each of the {recordings:,} recordings is tested on once: fold k tests on "
        "part k, takes its thresholds from the next part and trains on the rest."
    )
    names = tuple(f"part-{index}" for index in range(folds))
    return Cut(Policy.KFOLD, names, (1 / folds,) * folds, folds, why)


def few_data_note(test_speakers: int, groups: int) -> str | None:
    """Say in a sentence that one split of so few speakers tells little, and what to do; None where it is enough.

    Args:
        test_speakers: speakers in the test part.
        groups: groups of speakers in the corpus that can be split; no more folds than that can be made.
    """
    if test_speakers >= FEW_TEST_SPEAKERS or groups < LEAST_FOLDS:
        return None
    who = (
        "1 speaker, so its figures depend much on who that is"
        if test_speakers == 1
        else (f"{test_speakers} speakers, so its figures depend much on who they are")
    )
    return f"The test part holds {who}; --folds {min(DEFAULT_FOLDS, groups)} tests on everybody once."


def _ratio(fractions: tuple[float, ...]) -> str:
    return ":".join(f"{100 * fraction:g}" for fraction in fractions)


def _list(fractions: tuple[float, ...]) -> str:
    return ", ".join(f"{fraction:g}" for fraction in fractions)
