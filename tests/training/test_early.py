"""What several processes cannot share is refused before features are computed."""

import pytest

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.experiment import build_model
from vivavoce.training.early import check_early

SMALL = {"name": "ecapa-lstm", "trunk": {"channels": 16, "pooled_channels": 32, "embedding_dim": 16, "bottleneck": 8}}


@pytest.mark.parametrize(("task", "batch"), [("speaker", 3), ("liveness", 5)])
def test_a_batch_smaller_than_the_number_of_processes_is_refused(corpus, validation_corpus, task, batch):
    config = ExperimentConfig.model_validate(
        {
            "data": {"train": "a", "validation": "b"},
            "model": SMALL,
            "training": {f"{task}_batch": batch, "tasks": [task], "device": "cpu"},
        }
    )
    rows = corpus[0], validation_corpus[0]
    check_early(config, build_model(config), *rows, processes=batch)
    with pytest.raises(UserError, match=rf"{batch + 1} processes.*batch of {batch}.*training\.{task}_batch"):
        check_early(config, build_model(config), *rows, processes=batch + 1)
