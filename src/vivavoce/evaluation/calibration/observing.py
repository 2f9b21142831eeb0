"""Find out what a calibration may go by: of the recordings of a manifest, and of one that is in memory."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from vivavoce.corpus.manifest import Row
from vivavoce.evaluation.calibration.known import UNKNOWN, Known
from vivavoce.evaluation.scoring.quality import MEASURES, measure_quality, voice_quality
from vivavoce.evaluation.scoring.voice import VOICE_HZ
from vivavoce.signal.bands import Resample


def known_of_rows(rows: Sequence[Row], seconds: ArrayLike, measures: Collection[str] = ()) -> Known:
    """Tell what is known of recordings of a manifest, ``(recordings,)``.

    Args:
        rows: the recordings.
        seconds: how long each is, s, as it is judged.
        measures: quality measures that are wanted; all but ``duration`` take reading the sound.

    Raises:
        UserError: a recording cannot be read.
    """
    conditions = {
        "posture": np.array([row.meta.posture or UNKNOWN for row in rows]),
        "device": np.array([row.meta.device or UNKNOWN for row in rows]),
    }
    wanted = [name for name in measures if name in MEASURES]
    found = measure_quality(rows) if wanted else None
    values = {} if found is None else {name: found.values[:, found.names.index(name)] for name in wanted}
    return Known(np.asarray(seconds, np.float64), conditions, values)


def measures_of_wave(samples: np.ndarray, rate: int, measures: Collection[str]) -> dict[str, float]:
    """Measure one recording in memory as `known_of_rows` does.

    Args:
        samples: ``(samples,)``, full scale 1.
        rate: sample rate, Hz.
        measures: quality measures that are wanted.
    """
    wanted = [name for name in measures if name in MEASURES]
    if not wanted:
        return {}
    voice = samples
    if rate != VOICE_HZ:
        with torch.inference_mode():
            heard, _ = Resample(rate, VOICE_HZ)(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
        voice = heard[0].numpy()
    values: dict[str, float] = dict(zip(MEASURES, voice_quality(voice), strict=True))
    return {name: values[name] for name in wanted}
