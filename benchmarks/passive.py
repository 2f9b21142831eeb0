"""The passive baseline: what a user would pick who has no ultrasound, LFCC and two Gaussian mixtures on the voice band.

Linear-frequency cepstra with their deltas, one mixture of live speech and one of attacks, the score is the mean
log-likelihood ratio of a recording's frames: the LFCC-GMM baseline of the ASVspoof 2019 challenge (Todisco et al.,
"ASVspoof 2019: future horizons in spoofed and fake audio detection", Interspeech 2019), with fewer components.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from vivavoce.audio import read_audio
from vivavoce.corpus.manifest import Row
from vivavoce.signal.deltas import with_deltas

Floats = NDArray[np.float32]

RATE_HZ = 16_000
# Windows of 20 ms every 10 ms, 20 filters between 0 and 8 kHz, all 20 cepstra with first and second deltas.
WINDOW, HOP, FFT, FILTERS = 320, 160, 512, 20
LEAST_POWER = 1e-10


@dataclass(frozen=True)
class PassiveConfig:
    """Size of the mixtures: the challenge had 512 components, trained on more frames than we have."""

    components: int = 128
    frames: int = 80_000
    iterations: int = 15
    seed: int = 0


@dataclass(frozen=True)
class Passive:
    """Two mixtures of diagonal Gaussians."""

    live: GaussianMixture
    attack: GaussianMixture

    def score(self, features: Floats) -> float:
        """Mean log-likelihood ratio, nats a frame, of ``(frames, 60)``; higher speaks for a living voice."""
        return float(self.live.score(features) - self.attack.score(features))


def lfcc(wave16k: NDArray[np.float32]) -> Floats:
    """Linear-frequency cepstra with first and second deltas, ``(frames, 60)``, of ``(samples,)`` at 16 kHz."""
    wave = np.append(wave16k[:1], wave16k[1:] - 0.97 * wave16k[:-1])
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, (0, max(0, WINDOW - len(wave)))), WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hamming(WINDOW), FFT)) ** 2
    levels = np.log(power @ FILTER_BANK.T + LEAST_POWER)
    static = torch.from_numpy(np.asarray(dct(levels, type=2, norm="ortho", axis=1), np.float32))[None]
    return with_deltas(static, torch.tensor([static.shape[1]]), 2)[0].numpy()


def _filter_bank() -> NDArray[np.float64]:
    """Triangles of equal width between 0 and 8 kHz, ``(filters, bins)``."""
    edges = np.linspace(0, RATE_HZ / 2, FILTERS + 2)
    bins = np.arange(FFT // 2 + 1) * RATE_HZ / FFT
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling))


FILTER_BANK = _filter_bank()


def voice_features(rows: Sequence[Row]) -> Iterator[Floats]:
    """Features of the voice band of one recording after the other; the ultrasound band is cut off."""
    for row in rows:
        samples, rate = read_audio(row.path, channel=row.channel, start_s=row.start_s, duration_s=row.duration_s)
        yield lfcc(soxr.resample(samples, rate, RATE_HZ).astype(np.float32))


def train_passive(live: Sequence[Row], attacks: Sequence[Row], config: PassiveConfig) -> Passive:
    """Fit the two mixtures, each to as many frames as ``config`` says, drawn from all recordings alike."""
    return Passive(*(_fit(rows, config, number) for number, rows in enumerate((live, attacks))))


def _fit(rows: Sequence[Row], config: PassiveConfig, number: int) -> GaussianMixture:
    rng = np.random.default_rng([config.seed, number])
    most = max(1, config.frames // len(rows))
    drawn = [features[rng.permutation(len(features))[:most]] for features in voice_features(rows)]
    mixture = GaussianMixture(
        config.components, covariance_type="diag", max_iter=config.iterations, tol=1e-3, reg_covar=1e-4,
        init_params="k-means++", random_state=config.seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        # The iterations are bounded by time.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(np.concatenate(drawn))


def score_passive(model: Passive, rows: Sequence[Row]) -> NDArray[np.float64]:
    """Scores of the recordings, ``(rows,)``."""
    return np.array([model.score(features) for features in voice_features(rows)])
