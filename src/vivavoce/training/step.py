"""The loss of one step: speaker task and correlation task."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vivavoce.features.batch import LivenessBatch, Origin, SpeakerBatch
from vivavoce.models.heads.base import centred
from vivavoce.models.joint import JointModel
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.layers.stream import STREAM_FRAMES_PER_S, STREAM_STRIDE
from vivavoce.objectives.correlation import CorrelationConfig, correlation_loss, frame_loss, gate_loss, pair_weights
from vivavoce.objectives.sync import SyncLoss
from vivavoce.objectives.teacher import MotionTeacher
from vivavoce.training.crops import Batches


class StepLoss(NamedTuple):
    """Losses of one step; those of a task that is not trained are zero."""

    total: Tensor
    speaker: Tensor
    liveness: Tensor
    frames: Tensor
    gate: Tensor
    sync: Tensor
    teacher: Tensor


class JointLoss(nn.Module):
    """Sum of the speaker loss and the weighted losses of the correlation task, of those tasks that are trained."""

    def __init__(
        self, speaker: nn.Module | None, correlation: CorrelationConfig, stream: int = 0, motion: int = 0
    ) -> None:
        """Prepare the losses.

        Args:
            speaker: loss of the speaker task, or None where it is not trained.
            correlation: weights of the correlation task's losses.
            stream: channels of the head's streams.
            motion: channels of the mouth's motion; 0: it is not known, and nothing is learned from it.
        """
        super().__init__()
        self.speaker = speaker
        self.correlation = correlation
        window = round(correlation.sync_window_s * STREAM_FRAMES_PER_S)
        self.sync = SyncLoss(window)
        self.teacher = MotionTeacher(motion, stream, window) if motion else None

    def forward(self, model: JointModel, batches: Batches, margin_share: float, bfloat16: bool) -> StepLoss:
        """Compute the losses; ``bfloat16`` runs trunk and stream encoders under autocast."""
        nothing = torch.zeros((), device=model.device)
        speaker = liveness = frames = gate = sync = teacher = nothing
        if batches.speaker is not None:
            speaker = self._speaker(model, batches.speaker, margin_share, bfloat16)
        if batches.liveness is not None:
            liveness, frames, gate, sync, teacher = self._liveness(model, batches.liveness, bfloat16)
        weights = self.correlation
        correlation = liveness + weights.frame_weight * frames + weights.sync_weight * sync
        correlation = correlation + weights.gate_weight * gate + weights.teacher_weight * teacher
        return StepLoss(speaker + weights.weight * correlation, speaker, liveness, frames, gate, sync, teacher)

    def _speaker(self, model: JointModel, batch: SpeakerBatch, margin_share: float, bfloat16: bool) -> Tensor:
        if self.speaker is None:
            raise ValueError("a batch of the speaker task came, and there is no loss for it")
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
            embeddings = model.embed(batch.voice.to(model.device))
        return self.speaker(embeddings, batch.speakers.to(model.device), margin_share)

    def _liveness(self, model: JointModel, batch: LivenessBatch, bfloat16: bool) -> tuple[Tensor, ...]:
        """Encode each stream once, then judge all pairs: losses of whole, frames, gate, synchrony, and teacher."""
        device, smoothing = model.device, self.correlation.label_smoothing
        voice, echo = encode_streams(model, batch, bfloat16)
        mask = stream_frames(batch.lengths, voice.shape[2]).to(device)
        result = model.head.compare(_chosen(voice, batch.voice_of), _chosen(echo, batch.echo_of), mask)
        weight = pair_weights(batch.live, batch.origin != Origin.RECORDED, batch.origin == Origin.PARTIAL).to(device)
        judged = correlation_loss(result.utterance, batch.live.to(device), smoothing, weight)
        frames = gate = sync = teacher = torch.zeros_like(judged)
        if self.correlation.frame_weight:
            frames = frame_loss(result.frames, batch.frame_live.to(device), mask, weight, smoothing)
        if self.correlation.gate_weight and result.moves is not None:
            recorded = torch.nonzero(batch.origin == Origin.RECORDED)[:, 0]
            live, still = (labels[recorded].to(device) for labels in (batch.live, batch.still))
            gate = gate_loss(result.moves.index_select(0, recorded.to(device)), live, still)
        if self.correlation.sync_weight:
            sync = self._synchrony(batch, voice, echo)
        if self.teacher is not None and len(batch.taught):
            taught = batch.taught
            own = (_chosen(voice, batch.voice_of[taught]), _chosen(echo, batch.echo_of[taught]))
            mask = stream_frames(batch.voice_lengths[batch.voice_of[taught]], voice.shape[2]).to(device)
            teacher = self.teacher(*(centred(stream, mask) for stream in own), batch.motion.to(device), mask)
        return judged, frames, gate, sync, teacher

    def _synchrony(self, batch: LivenessBatch, voice: Tensor, echo: Tensor) -> Tensor:
        """The synchrony loss of the live recordings as they are."""
        live = torch.nonzero((batch.origin == Origin.RECORDED) & (batch.live > 0))[:, 0]
        mask = stream_frames(batch.voice_lengths[batch.voice_of[live]], voice.shape[2]).to(voice.device)
        own = (_chosen(voice, batch.voice_of[live]), _chosen(echo, batch.echo_of[live]))
        return self.sync(*(centred(stream, mask) for stream in own), mask.sum(dim=1))


def encode_streams(model: JointModel, batch: LivenessBatch, bfloat16: bool) -> tuple[Tensor, Tensor]:
    """Encode the voices and the echoes of a batch, each ``(streams, channels, ceil(frames / 2))`` float32."""
    device, frames = model.device, batch.voice.shape[1]
    voice_mask, echo_mask = (frame_mask(n, frames).to(device) for n in (batch.voice_lengths, batch.echo_lengths))
    echo = model.standardise(batch.echo.to(device), echo_mask)
    # Only the convolutions: sums over time of the comparison keep their digits.
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
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
