"""The check whether something other than the mouth tells the kinds apart."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from vivavoce.audit.config import AuditConfig
from vivavoce.audit.confounds import find_confounds
from vivavoce.audit.data import BATCH, Data
from vivavoce.audit.found import Found
from vivavoce.audit.registry import Needs, Severity, check

# Feature by the expression that gives it; those of the sound are missing where no sound was read.
METADATA = {"device": "device", "duration": "duration_s", "sample rate": "sample_rate"}
SOUND = {"level": "active_dbfs", "noise floor": "floor_dbfs", "leading silence": "leading_s"}


@check(
    Severity.WARNING,
    Needs.MANIFEST,
    looks_for="kinds that a single nuisance gives away: device, duration, sample rate, level, noise floor",
    mend="Record every kind with the same devices, rooms, levels and lengths, or equalise them in training and test: "
    "a detector learns the easiest difference, and here it is not the mouth.",
)
def confounds(data: Data, config: AuditConfig) -> Iterator[Found]:
    """Find features from which alone a small classifier, cross-validated over speakers, predicts the kind."""
    if data.one("SELECT count(DISTINCT kind) FROM listed") < 2:
        return
    columns = _columns(data)
    kinds, speakers = columns.pop("kind"), columns.pop("speaker")
    for confound in find_confounds(columns, kinds, speakers, least=config.min_confound_auc):
        values = asdict(confound)
        yield Found(data.no_files(), values.pop("what"), values)


def _columns(data: Data) -> dict[str, np.ndarray]:
    """One array a feature, ``(rows,)``; texts as objects that repeat, so that a name takes its bytes once."""
    features = dict(METADATA)
    table = "listed"
    if data.one("SELECT count(*) FROM sound"):
        features |= SOUND
        table = "sound"
    names = {"kind": "kind", "speaker": "speaker", **features}
    count = data.one(f"SELECT count(*) FROM {table}")
    texts = ("kind", "speaker", "device")
    columns = {name: np.zeros(count, object if name in texts else np.float64) for name in names}
    rows = data.db.execute(f"SELECT {', '.join(names.values())} FROM {table} ORDER BY id, path, start_s")
    seen: dict[str, str] = {}
    start = 0
    while batch := rows.fetchmany(BATCH):
        for name, values in zip(names, zip(*batch, strict=True), strict=True):
            if name in texts:
                values = [seen.setdefault(value or "", value or "") for value in values]
            columns[name][start : start + len(batch)] = values
        start += len(batch)
    return columns
