"""Lines of metrics.jsonl as a run would write them."""

import numpy as np

TIME = np.arange(30) / 30
LOWER = 0.2 + 0.8 * np.exp(-3 * TIME)
FLAT = np.ones(30)
HIGHER = 1 + 2 * TIME
RATE = 1e-3
CONFIG = {
    "training": {
        **{"epochs": 60, "learning_rate": RATE, "weight_decay": 0.05, "mask_mels": 10},
        **{"speaker_batch": 64, "liveness_batch": 48},
    },
    "correlation": {"weight": 1.0},
    "multitask": {"type": "sum"},
}


def noisy(curve: np.ndarray, seed: int, size: float = 0.005) -> np.ndarray:
    return curve * np.exp(np.random.default_rng(seed).normal(0, size, len(curve)))


def lines(
    train: np.ndarray = LOWER, validation: np.ndarray = LOWER, eer: float = 0.1, **monitored: float
) -> list[dict]:
    """Both tasks alike."""
    found = []
    rows = zip(noisy(train, 0), noisy(train, 1), noisy(validation, 2), noisy(validation, 3), strict=True)
    for epoch, (speaker, liveness, speaker_v, liveness_v) in enumerate(rows, start=1):
        losses = {"loss_speaker": speaker, "loss_liveness": liveness}
        common = {"epoch": epoch, "split": "train", "loss": speaker + liveness, "lr": RATE, "seconds": 1.0}
        found.append({**common, **losses, **monitored})
        rates = {"speaker_eer": eer, "liveness_eer": eer}
        losses = {"loss_speaker": speaker_v, "loss_liveness": liveness_v}
        found.append({"epoch": epoch, "split": "validation", **losses, **rates})
    return found
