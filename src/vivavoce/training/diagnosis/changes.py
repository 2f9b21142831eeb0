"""Changes of a config, ready for ``--set``: they begin with the run's own values, and never go backwards."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.training.diagnosis.record import Record

Sets = tuple[str, ...]
USUAL_RATE = 2e-3
CLIP, PATIENCE, WARM_UP = 1.0, 5, 0.15
# At most: half of the mel bins of the default front end, half a second.
MASKS = {
    "speaker": {"speaker_mask_mels": 40, "mask_frames": 60},
    "liveness": {"mask_mels": 40},
}
LEAST_HALVED = 8  # recordings of a batch


def rate_times(record: Record, factor: float) -> str:
    """Multiply the learning rate, to no more than is usual where that raises it."""
    known = record.setting("training", "learning_rate")
    rates = record.rate[np.isfinite(record.rate)]
    rate = known or (float(rates.max()) if len(rates) else USUAL_RATE)
    wanted = rate * factor
    if factor > 1:
        wanted = max(min(wanted, USUAL_RATE), rate)
    # Two digits, and always with a dot: YAML reads 2e-06 as text.
    mantissa, exponent = f"{wanted:.1e}".split("e")
    return f"training.learning_rate={mantissa}e{int(exponent):+03d}"


def clipping(record: Record) -> Sets:
    """Clip gradients harder."""
    own = record.setting("training", "clip_norm")
    return () if own is not None and own <= CLIP else (f"training.clip_norm={CLIP}",)


def stopping(record: Record) -> Sets:
    """Stop earlier."""
    own = record.setting("training", "early_stopping", "patience")
    return () if own is not None and own <= PATIENCE else (f"training.early_stopping.patience={PATIENCE}",)


def masking(record: Record, task: str) -> Sets:
    """Mask twice as much of a task's crops, within bounds."""
    sets = ()
    for name, most in MASKS.get(task, {}).items():
        own = record.setting("training", name)
        wider = 0 if own is None else min(most, 2 * own or most // 4)
        sets += (f"training.{name}={wider}",) if wider > (own or 0) else ()
    return sets


def decay(record: Record) -> Sets:
    """Decay the weights twice as fast."""
    own = record.setting("training", "weight_decay")
    return () if own is None else (f"training.weight_decay={2 * own or 0.05:g}",)


def warm_up(record: Record) -> Sets:
    """Let the rate rise for longer; where steps are given for it, a share takes their place."""
    wanted = f"training.schedule.warmup_share={WARM_UP}"
    steps = record.setting("training", "schedule", "warmup_steps")
    if steps is None:
        own = record.setting("training", "schedule", "warmup_share")
        return () if own is not None and own >= WARM_UP else (wanted,)
    planned = record.setting("training", "epochs")
    risen = int(np.nanargmax(record.rate)) if np.isfinite(record.rate).any() else 0  # epochs before the highest rate
    return () if risen >= WARM_UP * planned else ("training.schedule.warmup_steps=null", wanted)


def half_batch(record: Record, task: str) -> Sets:
    """Halve a task's batch, as far as its sampler can fill it; speakers × recordings must make the batch."""
    batch = record.setting("training", f"{task}_batch")
    if batch is None or batch < LEAST_HALVED:
        return ()
    half, key = batch // 2, f"training.{task}_sampler"
    sampler = record.setting("training", f"{task}_sampler") or {}
    own = sampler.get("inner") or sampler
    speakers, recordings = own.get("speakers"), own.get("recordings")
    sets = (f"training.{task}_batch={half}",)
    if speakers and recordings:
        even = speakers % 2 == 0 and batch % 2 == 0 and own is sampler
        return (*sets, f"{key}.speakers={speakers // 2}") if even else ()
    fits = half % (speakers or recordings or 1) == 0 and half > (recordings or 0)
    return sets if fits else ()


def accepted(record: Record, sets: Sets) -> Sets:
    """Those that change something and that the run's config takes: all together, or else one after the other."""
    if not _takes(record.config, ()):
        return sets  # the config is not known as a whole
    sets = tuple(change for change in sets if _changes(record, change))
    if _takes(record.config, sets):
        return sets
    taken: Sets = ()
    for change in sets:
        taken = (*taken, change) if _takes(record.config, (*taken, change)) else taken
    return taken


def _changes(record: Record, change: str) -> bool:
    key, _, text = change.partition("=")
    return record.setting(*key.split(".")) != yaml.safe_load(text)


def _takes(config: Mapping[str, Any], sets: Sets) -> bool:
    tree = copy.deepcopy(dict(config))
    for change in sets:
        key, _, text = change.partition("=")
        *path, name = key.split(".")
        section = tree
        for part in path:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        section[name] = yaml.safe_load(text)
    try:
        ExperimentConfig.model_validate(tree)
    except (ValidationError, UserError):
        return False
    return True
