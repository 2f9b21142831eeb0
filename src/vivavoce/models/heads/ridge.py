"""The ridge head: the floor that every trained head has to beat.

Voice frames with their context predict the echo linearly, in closed form; the score is how well prediction and echo
correlate at their best lag within ±60 ms, in units of the spread that unrelated streams of this length would give.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from vivavoce.models.heads.base import Head, Liveness, centred
from vivavoce.models.heads.fitting import Streams
from vivavoce.models.heads.ridge_fit import Moments, frames_of_one, logistic_line, principal_axes, ridge
from vivavoce.models.layers.gate import moving_sum
from vivavoce.models.layers.lags import at_lags
from vivavoce.models.layers.masking import mask_channels_first
from vivavoce.models.layers.stream import STREAM_FRAMES_PER_S, STREAM_STRIDE, odd_window, stream_mask
from vivavoce.models.layers.sync import USUAL_FRAMES

# In 20 ms frames: the lag at which a living mouth may agree best (DESIGN §5: IQR of −16 to +20 ms, onsets earlier).
BEST_LAG = 3
# Of so many batches one fits the line from score to logit, up to so many of them; the others fit the regression.
CALIBRATING, MOST_CALIBRATING = 5, 8
# Share of an utterance's mean energy that is added to that of a window, whose correlation else is that of noise.
ENERGY_FLOOR = 0.1
HIGHEST_CORRELATION = 0.999


class RidgeHeadConfig(BaseModel):
    """A linear ridge correlator."""

    model_config = ConfigDict(extra="forbid")
    reads_stem: ClassVar[bool] = False

    type: Literal["ridge"] = "ridge"
    targets: int = Field(default=8, ge=1, description="principal components of the echo features that are predicted")
    context_s: float = Field(default=0.24, ge=0, le=1, description="voice before and after a frame that predicts it")
    context_step: int = Field(default=2, ge=1, description="20 ms frames from one frame of the context to the next")
    penalty: float = Field(default=1e-3, gt=0, description="of the ridge, in units of the voice's mean energy")
    window_s: float = Field(default=0.6, ge=0.1, le=3, description="what a frame's logit looks at, seconds")

    @property
    def reach(self) -> int:
        """Frames of the context on either side."""
        return round(self.context_s * STREAM_FRAMES_PER_S) // self.context_step

    def build(self, voice_channels: int, echo_channels: int) -> "RidgeHead":
        """Make the head for streams of these widths."""
        return RidgeHead(self, voice_channels, echo_channels)


class LinearStream(nn.Module):
    """Frames of 20 ms without their mean, mapped by a fitted filter."""

    taps: Tensor

    def __init__(self, channels_in: int, channels: int, reach: int = 0, step: int = 1) -> None:
        super().__init__()
        self.reach, self.step = reach, step
        self.register_buffer("taps", torch.zeros(channels, channels_in, 2 * reach + 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(batch, channels_in, frames)`` to ``(batch, channels, ceil(frames / 2))``."""
        # In full precision whatever is around it: the taps are differences of large numbers.
        with torch.autocast(x.device.type, enabled=False):
            halved = self.halved(x.float(), mask)
            mapped = functional.conv1d(halved, self.taps, padding=self.reach * self.step, dilation=self.step)
        return mask_channels_first(mapped, stream_mask(mask))

    def context(self, x: Tensor, mask: Tensor) -> Tensor:
        """What the filter sees at each frame of each utterance: ``(own frames, channels_in · taps)``."""
        reach = self.reach * self.step
        padded = functional.pad(self.halved(x, mask), (reach, reach))
        seen = padded.unfold(2, 2 * reach + 1, 1)[..., :: self.step]
        half = mask[:, ::STREAM_STRIDE]
        return seen.transpose(1, 2)[half].flatten(1)

    @staticmethod
    def halved(x: Tensor, mask: Tensor | None) -> Tensor:
        """Means of two frames each, less the utterance's mean."""
        counted = x.new_ones(len(x), 1, x.shape[2]) if mask is None else mask[:, None].to(x.dtype)
        sums, counts = (_pair_sums(part) for part in (mask_channels_first(x, mask), counted))
        return centred(sums / counts.clamp(min=1.0), stream_mask(mask))


class RidgeHead(Head):
    """Predicted echo against seen echo; nothing but the line from score to logit is trained by gradients."""

    needs_fit = True
    voice: LinearStream
    echo: LinearStream
    axes_share: Tensor
    frames_of_one: Tensor

    def __init__(self, config: RidgeHeadConfig, voice_channels: int, echo_channels: int) -> None:
        super().__init__()
        self.config = config
        self.window = odd_window(config.window_s)
        self.voice = LinearStream(voice_channels, config.targets, config.reach, config.context_step)
        self.echo = LinearStream(echo_channels, config.targets)
        self.register_buffer("axes_share", torch.full((config.targets,), 1 / config.targets))
        self.register_buffer("frames_of_one", torch.ones(()))
        self.line = nn.Parameter(torch.tensor([1.0, 0.0]))

    def compare(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> Liveness:
        """Judge predicted against seen echo, ``(batch, targets, frames)`` each."""
        whole, local = self.scores(voice, echo, mask)
        own = torch.ones_like(local) if mask is None else mask.to(local.dtype)
        count = own.sum(dim=1)
        frames = self._logits(local, count.clamp(max=self.window)[:, None]) * own
        return Liveness(self._logits(whole, count), frames, own / count[:, None])

    def scores(self, voice: Tensor, echo: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Fisher's z over its spread by chance: of utterances ``(batch,)`` and around frames ``(batch, frames)``."""
        voice, echo = centred(voice, mask), centred(echo, mask)
        shape = voice.shape
        products = voice[..., None] * at_lags(echo.flatten(0, 1), BEST_LAG).view(*shape, -1)
        energies = torch.stack([voice, echo]).square()
        count = voice.new_full(shape[:1], shape[2]) if mask is None else mask.sum(dim=1).to(voice.dtype)
        whole = products.sum(dim=2) / (energies.sum(dim=3).prod(dim=0) + 1e-12).sqrt()[..., None]
        floor = ENERGY_FLOOR * self.window * energies.sum(dim=3, keepdim=True) / count[:, None, None]
        first, second = moving_sum(energies, self.window) + floor + 1e-6
        sums = moving_sum(products.transpose(2, 3), self.window).transpose(2, 3)
        inverse = second.rsqrt() if mask is None else mask_channels_first(second.rsqrt(), mask)
        lagged = at_lags(inverse.flatten(0, 1), BEST_LAG).view(products.shape)
        local = sums * first.rsqrt()[..., None] * lagged
        window = count.clamp(max=self.window)[:, None]
        return self._z(whole, count), self._z(local, window)

    @torch.no_grad()
    def fit(self, batches: Iterable[Streams]) -> None:
        """Fit regression, axes and line on training batches; they are gone through once.

        Raises:
            ValueError: there is no live recording among them.
        """
        moments, kept, last = Moments(), [], None
        for number, batch in enumerate(batches, start=1):
            true = torch.nonzero(batch.live > 0)[:, 0]
            if not len(true):
                continue
            last = batch
            if number % CALIBRATING == 0 and len(kept) < MOST_CALIBRATING:
                kept.append(batch)
                continue
            voice, echo, mask = batch.voice[batch.voice_of[true]], batch.echo[batch.echo_of[true]], batch.mask[true]
            moments.add(self.voice.context(voice, mask), self.echo.context(echo, mask))
        if last is None or not moments.count:
            raise ValueError("a ridge head needs live recordings to fit on")
        self._solve(moments)
        self._calibrate(kept or [last])

    def _solve(self, moments: Moments) -> None:
        axes = principal_axes(moments.seen, self.config.targets)
        weights = ridge(moments.context, moments.cross @ axes, self.config.penalty)
        self.echo.taps.zero_()[: axes.shape[1], :, 0] = axes.T.to(self.echo.taps)
        self.voice.taps.zero_().view(len(self.voice.taps), -1)[: axes.shape[1]] = weights.T.to(self.voice.taps)
        predicted = torch.einsum("dk,de,ek->k", weights, moments.context, weights)
        agreed = torch.einsum("dk,dk->k", weights, moments.cross @ axes)
        spread = torch.einsum("ek,ef,fk->k", axes, moments.seen, axes)
        correlation = (agreed / (predicted * spread).clamp(min=1e-30).sqrt()).clamp(min=0.0)
        share = correlation / correlation.sum().clamp(min=1e-12)
        self.axes_share.zero_()[: axes.shape[1]] = share.to(self.axes_share)

    def _calibrate(self, batches: list[Streams]) -> None:
        """Find out how many frames count as one, and the line from score to logit."""
        scores, labels, apart = [], [], []
        self.frames_of_one.fill_(1.0)
        for batch in batches:
            half = batch.mask[:, ::STREAM_STRIDE]
            predicted = self.voice(batch.voice, batch.voice_mask)[batch.voice_of]
            seen = self.echo(batch.echo, batch.echo_mask)[batch.echo_of]
            scores.append(evidence(self.scores(predicted, seen, half)[0], half.sum(dim=1)))
            labels.append(batch.live)
            true = batch.live > 0
            apart.append(frames_of_one(*(centred(stream[true], half[true]) for stream in (predicted, seen))))
        shared = (torch.stack(apart).mean(dim=0) * self.axes_share).sum().clamp(min=1.0)
        self.frames_of_one.copy_(shared)
        # The scores were made while each frame counted as one.
        design = torch.cat(scores) / torch.stack([shared.sqrt(), torch.ones_like(shared)])
        self.line.copy_(logistic_line(design, torch.cat(labels)))

    def _z(self, correlation: Tensor, count: Tensor) -> Tensor:
        """Mean over the targets of Fisher's z ``(batch, targets, ..., lags)`` at its best lag, times √(effective n)."""
        z = correlation.clamp(-HIGHEST_CORRELATION, HIGHEST_CORRELATION).atanh()
        best = torch.einsum("bk...,k->b...", z, self.axes_share).amax(dim=-1)
        return best * (count / self.frames_of_one).sqrt()

    def _logits(self, scores: Tensor, count: Tensor) -> Tensor:
        return evidence(scores, count) @ self.line


def evidence(scores: Tensor, count: Tensor) -> Tensor:
    """What the logit is linear in, ``(..., 2)``: of scores with spread 1 by chance, of ``count`` frames each.

    The logarithm of the ratio of two normal densities, with mean 0 and with mean μ √count: μ √count · score less
    half of μ² count. One line so serves windows and whole recordings of any length.
    """
    length = (count / USUAL_FRAMES).expand_as(scores)
    return torch.stack([length.sqrt() * scores, length], dim=-1)


def _pair_sums(x: Tensor) -> Tensor:
    """Sums of frames 0 and 1, 2 and 3, …: ``(batch, channels, ceil(frames / 2))``."""
    return functional.pad(x, (0, x.shape[2] % STREAM_STRIDE)).unflatten(2, (-1, STREAM_STRIDE)).sum(dim=3)
