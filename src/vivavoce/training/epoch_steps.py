"""How many steps an epoch has, counted from the manifest before any feature is computed."""

from collections.abc import Sequence

from vivavoce.corpus.manifest import Row
from vivavoce.corpus.sampling import Items
from vivavoce.errors import UserError
from vivavoce.training.config import TrainingConfig


def epoch_steps(rows: Sequence[Row], config: TrainingConfig, seed: int) -> int:
    """Steps of the optimiser in an epoch, if the probe of every recording that should have one can be heard.

    Args:
        rows: of the training manifest.
        config: tasks, batches, samplers and kinds held out.
        seed: of the samplers.

    Raises:
        UserError: no recording is left to train on, or they do not allow the sampler.
    """
    kept = [row for row in rows if row.meta.kind not in config.held_out]
    if "liveness" in config.tasks:
        kept = [row for row in kept if row.meta.kind.readable]
    if not kept:
        raise UserError("The training manifest holds no recording that training may use; add some.")
    items = Items.of_rows(kept)
    if "liveness" in config.tasks:
        sampler = config.liveness_sampler.build(items, min(config.liveness_batch, len(kept)), seed)
    else:
        sampler = config.speaker_sampler.build(items, config.speaker_batch, seed)
    return -(-len(sampler) // config.accumulate)
