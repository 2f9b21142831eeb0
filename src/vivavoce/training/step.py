"""The loss of one step: speaker task and correlation task."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vivavoce.corpus.metadata import Kind
from vivavoce.features.batch import LivenessBatch, Origin, SpeakerBatch
from vivavoce.models.heads.base import centred
from vivavoce.models.joint import JointModel
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.layers.stream import STREAM_FRAMES_PER_S, STREAM_STRIDE
from vivavoce.objectives.correlation import (
    BCE,
    CorrelationConfig,
    correlation_loss,
    frame_loss,
    gate_loss,
    pair_weights,
)
from vivavoce.objectives.multitask import Multitask, SumConfig
from vivavoce.objectives.sync import SyncLoss
from vivavoce.objectives.teacher import MotionTeacher
from vivavoce.training.crops import Batches

KINDS = tuple(Kind)
STILL = torch.tensor([kind.is_still for kind in KINDS])


class StepLoss(NamedTuple):
    """Losses of one step; those of a task that is not trained are zero."""

    total: Tensor
    speaker: Tensor
    liveness: Tensor
    frames: Tensor
    gate: Tensor
    sync: Tensor
    teacher: Tensor
    kinds: Tensor  # (2, kinds) of the recordings as they are, by `Kind`: sum of their cross-entropies, and how many


class Encodings(NamedTuple):
    """What the networks make of a step's batches before any loss, in float32; None for a task that is not trained.

    Losses may compare all items of a batch, so that processes which share one out can gather these first.
    """

    embeddings: Tensor | None  # (speaker batch, embedding_dim)
    voice: Tensor | None  # (voices, channels, ceil(frames / 2))
    echo: Tensor | None  # (echoes, channels, ceil(frames / 2))


class JointLoss(nn.Module):
    """The speaker loss and the weighted losses of the correlation task, joined where both tasks are trained."""

    def __init__(
        self,
        speaker: nn.Module | None,
        correlation: CorrelationConfig,
        stream: int = 0,
        motion: int = 0,
        multitask: Multitask | None = None,
    ) -> None:
        """Prepare the losses.

        Args:
            speaker: loss of the speaker task, or None where it is not trained.
            correlation: weights of the correlation task's losses.
            stream: channels of the head's streams.
            motion: channels of the mouth's motion; 0: it is not known, and nothing is learned from it.
            multitask: how the two tasks are joined; None: their sum.
        """
        super().__init__()
        self.speaker = speaker
        self.correlation = correlation
        window = round(correlation.sync_window_s * STREAM_FRAMES_PER_S)
        self.sync = SyncLoss(window)
        self.judge = correlation.loss.build()
        self.teacher = MotionTeacher(motion, stream, window) if motion else None
        self.multitask = SumConfig().build() if multitask is None else multitask

    def forward(
        self,
        model: JointModel,
        batches: Batches,
        margin_share: float,
        progress: float,
        autocast: torch.dtype | None,
    ) -> StepLoss:
        """Compute the losses.

        Args:
            model: encodes and compares.
            batches: of this step.
            margin_share: share of the speaker loss's margin, 0…1.
            progress: share of the run that is over, 0…1.
            autocast: type in which trunk and stream encoders compute; None: float32. Losses always are in float32.
        """
        return self.losses_of(self.encode(model, batches, autocast), model, batches, margin_share, progress)

    def encode(self, model: JointModel, batches: Batches, autocast: torch.dtype | None) -> Encodings:
        """Embed the crops of the speaker task, encode the streams of the correlation task."""
        embeddings = voice = echo = None
        if batches.speaker is not None:
            with torch.autocast(model.device.type, autocast, enabled=autocast is not None):
                embeddings = model.embed(batches.speaker.voice.to(model.device))
        if batches.liveness is not None:
            voice, echo = encode_streams(model, batches.liveness, autocast)
        return Encodings(embeddings, voice, echo)

    def losses_of(
        self, encodings: Encodings, model: JointModel, batches: Batches, margin_share: float, progress: float
    ) -> StepLoss:
        """Compute the losses of what `encode` made of these very batches; only pairs are yet to be compared."""
        nothing = torch.zeros((), device=model.device)
        kinds = torch.zeros(2, len(KINDS), device=model.device)
        speaker = liveness = frames = gate = sync = teacher = nothing
        if encodings.embeddings is not None and batches.speaker is not None:
            speaker = self._speaker(encodings.embeddings, batches.speaker, margin_share)
        if encodings.voice is not None and encodings.echo is not None and batches.liveness is not None:
            streams = encodings.voice, encodings.echo
            (liveness, frames, gate, sync, teacher), kinds = self._liveness(model, batches.liveness, *streams)
        weights = self.correlation
        correlation = liveness + weights.frame_weight * frames + weights.sync_weight * sync
        correlation = correlation + weights.gate_weight * gate + weights.teacher_weight * teacher
        correlation = weights.weight * correlation
        if batches.speaker is None or batches.liveness is None:
            total = speaker + correlation
        else:
            total = self.multitask(speaker, correlation, progress, shared_parameters(model))
        return StepLoss(total, speaker, liveness, frames, gate, sync, teacher, kinds)

    def _speaker(self, embeddings: Tensor, batch: SpeakerBatch, margin_share: float) -> Tensor:
        if self.speaker is None:
            raise ValueError("a batch of the speaker task came, and there is no loss for it")
        return self.speaker(embeddings, batch.speakers.to(embeddings.device), margin_share)

    def _liveness(
        self, model: JointModel, batch: LivenessBatch, voice: Tensor, echo: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Judge all pairs of encoded streams: losses of whole, frames, gate, synchrony, and teacher; and by kind."""
        device, smoothing = model.device, self.correlation.label_smoothing
        mask = stream_frames(batch.lengths, voice.shape[2]).to(device)
        result = model.head.compare(_chosen(voice, batch.voice_of), _chosen(echo, batch.echo_of), mask)
        weight = pair_weights(batch.live, batch.origin != Origin.RECORDED, batch.origin == Origin.PARTIAL).to(device)
        judged = correlation_loss(result.utterance, batch.live.to(device), smoothing, weight, self.judge)
        frames = gate = sync = teacher = torch.zeros_like(judged)
        if self.correlation.frame_weight:
            frames = frame_loss(result.frames, batch.frame_live.to(device), mask, weight, smoothing, self.judge)
        if self.correlation.gate_weight and result.moves is not None:
            recorded = torch.nonzero(batch.origin == Origin.RECORDED)[:, 0]
            live, still = batch.live[recorded].to(device), STILL[batch.kind[recorded]].to(device)
            gate = gate_loss(result.moves.index_select(0, recorded.to(device)), live, still)
        if self.correlation.sync_weight:
            sync = self._synchrony(batch, voice, echo)
        if self.teacher is not None and len(batch.taught):
            taught = batch.taught
            own = (_chosen(voice, batch.voice_of[taught]), _chosen(echo, batch.echo_of[taught]))
            mask = stream_frames(batch.voice_lengths[batch.voice_of[taught]], voice.shape[2]).to(device)
            teacher = self.teacher(*(centred(stream, mask) for stream in own), batch.motion.to(device), mask)
        return (judged, frames, gate, sync, teacher), _by_kind(result.utterance.detach(), batch)

    def _synchrony(self, batch: LivenessBatch, voice: Tensor, echo: Tensor) -> Tensor:
        """The synchrony loss of the live recordings as they are."""
        live = torch.nonzero((batch.origin == Origin.RECORDED) & (batch.live > 0))[:, 0]
        mask = stream_frames(batch.voice_lengths[batch.voice_of[live]], voice.shape[2]).to(voice.device)
        own = (_chosen(voice, batch.voice_of[live]), _chosen(echo, batch.echo_of[live]))
        return self.sync(*(centred(stream, mask) for stream in own), mask.sum(dim=1))


def _by_kind(logits: Tensor, batch: LivenessBatch) -> Tensor:
    """Sum of the cross-entropies, and number, of the recordings of each kind, ``(2, kinds)``, as validation has them.

    The logits ``(pairs,)`` are compared with the labels themselves, whatever form the loss has.
    """
    of_kind = (batch.kind[:, None] == torch.arange(len(KINDS))).to(logits.device, torch.float32)
    losses = BCE(logits, batch.live.to(logits.device))
    return torch.stack([losses @ of_kind, of_kind.sum(dim=0)])


def shared_parameters(model: JointModel) -> Sequence[nn.Parameter]:
    """The parameters that both tasks train: those of the trunk's stem, or none where the head reads raw features."""
    return list(model.trunk.stem.parameters()) if model.config.head.reads_stem else []


def trained_parameters(model: JointModel, tasks: Collection[str]) -> list[nn.Parameter]:
    """The parameters of the model that the losses of ``tasks`` reach."""
    found = list(model.trunk.parameters()) if "speaker" in tasks else []
    return [*found, *model.head.parameters(), *shared_parameters(model)] if "liveness" in tasks else found


def encode_streams(model: JointModel, batch: LivenessBatch, autocast: torch.dtype | None) -> tuple[Tensor, Tensor]:
    """Encode the voices and the echoes of a batch, each ``(streams, channels, ceil(frames / 2))`` float32."""
    device, frames = model.device, batch.voice.shape[1]
    voice_mask, echo_mask = (frame_mask(n, frames).to(device) for n in (batch.voice_lengths, batch.echo_lengths))
    echo = model.standardise(batch.echo.to(device), echo_mask)
    # Only the convolutions: sums over time of the comparison keep their digits.
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        voice = model.head.voice(model.stem(batch.voice.to(device), voice_mask), voice_mask)
        echo = model.head.echo(echo, echo_mask)
    return voice.float(), echo.float()


def stream_frames(lengths: Tensor, frames: int) -> Tensor:
    """Mask ``(items, frames)`` of the 20 ms frames that begin within ``lengths`` ``(items,)`` frames of 10 ms."""
    return torch.arange(frames, device=lengths.device)[None, :] * STREAM_STRIDE < lengths[:, None]


def _chosen(streams: Tensor, items: Tensor) -> Tensor:
    """Choose items of ``(batch, ...)``, any of them several times.

    The gradient of ``streams[items]`` is added up by several threads in whatever order they come, so the last digits of
    a run would not repeat; that of ``index_select`` is added up in order.
    """
    return streams.index_select(0, items.to(streams.device))
