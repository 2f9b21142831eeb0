"""Further figures of the liveness benchmark: shifted echoes, babble, and the passive baseline."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from liveness_figures import BPCER, SWAPPED, Figure, accepted, at_equal_rejects, bounds, error_rate, place
from liveness_plan import PLAYED, SEEN_ATTACKS, STAND10, Training
from liveness_runs import FrontEnd, Scores, features, scores, scores_of, threshold, train
from liveness_sets import Bench, SetPlan, babbled
from passive import Passive, PassiveConfig, score_passive, train_passive
from vivavoce.corpus.manifest import Row
from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.intervals import bootstrap_interval
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.features.batch import gather_padded
from vivavoce.features.store import FeatureStore
from vivavoce.verifier import LoadedRun

FRAMES_PER_S = 100
CROP_S = 3.0
# Either way, s; under 80 ms a shift is no attack but the scatter of speech itself (DESIGN §6).
SHIFTS_S = {"shift of 200 ms, 3 s": (0.2,), "shift of 500 ms or more, 3 s": (0.5, 0.75, 1.0)}
BATCH = 64


def shifts(bench: Bench, training: Training) -> list[Figure]:
    """Live recordings of 6 s: the middle 3 s of the voice, with the echo of just then, and of sooner or later."""
    run = train(bench, training)
    rows: list[Figure] = []
    for plan in bench.test_sets(6):
        live = [row for row in bench.rows(plan) if row.meta.kind is Kind.LIVE]
        store = features(bench, live, FrontEnd.named(training.front_end), f"{plan.name}-live")
        items = np.flatnonzero(store.usable)
        if not len(items):
            continue
        who = np.array([live[item].speaker for item in items])
        genuine = shifted_scores(run, store, items, 0.0)
        for figure, sizes in SHIFTS_S.items():
            signed = [sign * size for size in sizes for sign in (-1, 1)]
            moved = np.concatenate([shifted_scores(run, store, items, shift) for shift in signed])
            interval = bootstrap_interval(
                genuine, moved, who, np.tile(who, len(signed)), resamples=bench.size.resamples
            )
            found = {"value": eer(genuine, moved).rate, **bounds(interval)}
            rows.append({"figure": figure, **place(plan), **found, "live": len(genuine), "attacks": len(moved)})
    return rows


def shifted_scores(run: LoadedRun, store: FeatureStore, items: np.ndarray, shift_s: float) -> np.ndarray:
    """Liveness of the middle 3 s of each voice with the echo ``shift_s`` later, ``(items,)``."""
    frames, shift = round(CROP_S * FRAMES_PER_S), round(shift_s * FRAMES_PER_S)
    found = []
    for part in np.array_split(items, max(1, len(items) // BATCH)):
        starts = (store.frames[part] - frames) // 2
        voice, lengths = gather_padded(store.voice, store, part, starts, frames)
        echo, _ = gather_padded(store.echo, store, part, starts + shift, frames)
        with torch.inference_mode():
            found.append(run.model.liveness(voice, echo, lengths).utterance.numpy())
    return np.concatenate(found)


def babble(bench: Bench, training: Training) -> list[Figure]:
    """Swapped mouths with four other voices at 0 dB in the voice band, beside the same recordings without."""
    result = []
    for plan in bench.test_sets(3):
        if plan.condition != STAND10:
            continue
        part = scores_of(bench, training, babbled(bench, plan), f"{plan.name}-babble")
        clean = scores(bench, training, plan, whole=True)
        noisy = error_rate(part, part.of(SWAPPED), bench.size.resamples)
        before = error_rate(clean, clean.of(SWAPPED), bench.size.resamples)
        if noisy is not None and before is not None:
            added = noisy["value"] - before["value"]
            result.append({**place(plan), **noisy, "without": before["value"], "added": added})
    return result


def passive(bench: Bench, training: Training) -> dict[str, Any]:
    """The passive baseline beside ours: the same training recordings, the same tests, the voice band alone.

    Recordings whose mouth alone was shifted are left out of its attacks: their voice is a live one.
    """
    trained, _ = bench.training_sets("phonetic")
    rows = bench.rows(trained)
    live = [row for row in rows if row.meta.kind is Kind.LIVE]
    attacks = [row for row in rows if row.meta.kind in SEEN_ATTACKS]
    config = PassiveConfig(bench.size.components, bench.size.passive_frames, seed=bench.seed)
    model = _Passive(bench, live, attacks, config)
    played = [kind for kind in SEEN_ATTACKS if kind is not Kind.RECORDED_ULTRASOUND]
    limit = _limit([model.scores(plan) for plan in bench.validation_sets(3)], played)
    ours = threshold(bench, training, 3, SEEN_ATTACKS, whole=True)
    table = []
    for plan in [*bench.test_sets(3), *bench.other_sets()]:
        if not any(name in [kind.value for kind in PLAYED] for name, _ in plan.kinds):
            continue
        theirs, own = model.scores(plan), scores(bench, training, plan, whole=True)
        table += [{**place(plan), **row} for row in _compared(bench, {"passive": (theirs, limit), "ours": (own, ours)})]
    return {
        "components": config.components, "frames": config.frames, "live": len(live), "attacks": len(attacks),
        "bpcer": BPCER, "rows": table,
    }  # fmt: skip


def _compared(bench: Bench, detectors: dict[str, tuple[Scores, float]]) -> list[Figure]:
    """Both detectors on replays and synthetic voices, by loudspeaker and over all of them."""
    any_part = next(iter(detectors.values()))[0]
    names = sorted({row.meta.loudspeaker for row in any_part.rows if row.meta.loudspeaker})
    rows = []
    for size in [None, *names]:
        row: Figure = {"loudspeaker": size}
        for name, (part, limit) in detectors.items():
            chosen = part.of(PLAYED) if size is None else part.of(PLAYED, loudspeaker=size)
            rate = error_rate(part, chosen, bench.size.resamples)
            live = accepted(part, part.of([Kind.LIVE]), limit, bench.size.resamples)
            row[name] = {
                "eer": rate,
                "at_validation": accepted(part, chosen, limit, bench.size.resamples),
                "live_rejected": None if live is None else 1 - live["accepted"],
                "at_equal_rejects": at_equal_rejects(part, chosen, BPCER),
            }
        rows.append(row | {"times_lower": _ratio(row)})
    return rows


def _ratio(row: Figure) -> float | None:
    """How many times lower our share of accepted attacks is; where we accept none, with 3 over their number."""
    theirs, ours = row["passive"]["at_equal_rejects"], row["ours"]["at_equal_rejects"]
    if theirs is None or ours is None:
        return None
    # The rule of 3, as of intervals where no error was seen.
    return theirs["apcer"] / (ours["apcer"] or min(1.0, 3 / ours["n"]))


def _limit(parts: Sequence[Scores], attacks: Sequence[Kind]) -> float:
    live = np.concatenate([part.score[part.of([Kind.LIVE])] for part in parts])
    attack = np.concatenate([part.score[part.of(attacks)] for part in parts])
    return eer(live, attack).threshold


class _Passive:
    """The baseline, trained when a score is asked for that was not kept."""

    def __init__(self, bench: Bench, live: list[Row], attacks: list[Row], config: PassiveConfig) -> None:
        self.bench, self.live, self.attacks, self.config = bench, live, attacks, config
        self._model: Passive | None = None

    def scores(self, plan: SetPlan) -> Scores:
        """Scores of the recordings that a loudspeaker played and of live ones; kept."""
        kinds = {Kind.LIVE, Kind.SWAPPED_MOUTH, *PLAYED}
        rows = [row for row in self.bench.rows(plan) if row.meta.kind in kinds]
        path = self.bench.out / "runs" / "passive" / f"{plan.name}.npy"
        if not path.exists():
            if self._model is None:
                self._model = train_passive(self.live, self.attacks, self.config)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, score_passive(self._model, rows))
        return Scores(rows, np.load(path), [""] * len(rows))
