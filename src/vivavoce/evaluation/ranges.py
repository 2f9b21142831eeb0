"""What to tell a reader when data leave the range that a model was trained on."""

from collections.abc import Mapping

from vivavoce.evaluation.report.results import percent

# A training set's range is that of its rarest frames: one value in a thousand beyond it is news, fewer are not.
TELLING_SHARE = 1e-3


def range_notes(shares: Mapping[str, float]) -> list[str]:
    """Give a sentence for each stream of which more than 0.1 % of the values left the range of min-max normalisation.

    Args:
        shares: share (0 to 1) of values outside, by stream, as `JointModel.out_of_range` gives it.
    """
    return [
        f"{percent(share)} of the {stream} features lie outside the range of the training data, so the model is asked "
        f"about what it has not seen; train on such recordings as well, or set model.{stream}_norm to zscore."
        for stream, share in shares.items()
        if share > TELLING_SHARE
    ]
