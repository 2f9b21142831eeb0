"""The loss of one step: speaker task and correlation task, with negatives made of the batch's own live crops."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vivavoce.features.batch import LivenessBatch, SpeakerBatch
from vivavoce.models.joint import JointModel
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.layers.stream import STREAM_STRIDE, stream_mask
from vivavoce.models.liveness_head import centred
from vivavoce.objectives.correlation import CorrelationConfig, correlation_loss
from vivavoce.objectives.sync import SyncLoss

STREAM_FRAMES_PER_S = 100 // STREAM_STRIDE


class StepLoss(NamedTuple):
    """Losses of one step."""

    total: Tensor
    speaker: Tensor
    liveness: Tensor
    sync: Tensor


class Pairing(NamedTuple):
    """Which voice is judged with which echo, and whether they belong together."""

    voice: Tensor  # (pairs,) index into the batch
    echo: Tensor  # (pairs,) index into the echoes: the batch's own, then the shifted ones
    live: Tensor  # (pairs,)


def pair_up(batch: LivenessBatch, swaps: int, replacements: int) -> Pairing:
    """The recordings as they are, then each live voice with other echoes: live, of attacks, shifted in time.

    A swap takes the echo of another live crop of the batch at once with its whole processing, so nothing is spliced;
    the simulated attacks in the same batch keep gain control and device from giving a pairing away.
    """
    size = len(batch.live)
    own = torch.arange(size)
    live = torch.nonzero(batch.live)[:, 0]
    attacks = torch.nonzero(batch.live == 0)[:, 0]
    swapped = [live.roll(turn) for turn in range(1, min(swaps, len(live) - 1) + 1)]
    count = min(replacements, len(attacks))
    replaced = [attacks[(torch.arange(len(live)) + turn) % len(attacks)] for turn in range(count)]
    shifted = torch.arange(len(batch.shifted_of)) + size
    voice = torch.cat([own, live.repeat(len(swapped) + len(replaced)), batch.shifted_of])
    echo = torch.cat([own, *swapped, *replaced, shifted])
    return Pairing(voice, echo, torch.cat([batch.live, torch.zeros(len(voice) - size)]))


class JointLoss(nn.Module):
    """Sum of the speaker loss and the weighted correlation loss."""

    def __init__(self, speaker: nn.Module, correlation: CorrelationConfig, swaps: int, replacements: int) -> None:
        super().__init__()
        self.speaker = speaker
        self.correlation = correlation
        self.swaps = swaps
        self.replacements = replacements
        self.sync = SyncLoss(round(correlation.sync_window_s * STREAM_FRAMES_PER_S))

    def forward(
        self,
        model: JointModel,
        speaker_batch: SpeakerBatch,
        liveness_batch: LivenessBatch,
        margin_share: float,
        bfloat16: bool,
    ) -> StepLoss:
        """Compute the losses; ``bfloat16`` runs trunk and stream encoders under autocast."""
        device = model.device
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            embeddings = model.embed(speaker_batch.voice.to(device))
        speaker = self.speaker(embeddings, speaker_batch.speakers.to(device), margin_share)
        liveness, sync = self._liveness(model, liveness_batch, bfloat16)
        total = speaker + self.correlation.weight * (liveness + self.correlation.sync_weight * sync)
        return StepLoss(total, speaker, liveness, sync)

    def _liveness(self, model: JointModel, batch: LivenessBatch, bfloat16: bool) -> tuple[Tensor, Tensor]:
        """Encode each stream once, then judge all pairings: the correlation loss and the synchrony loss."""
        device = model.device
        pairing = pair_up(batch, self.swaps, self.replacements)
        mask = frame_mask(batch.lengths, batch.voice.shape[1]).to(device)
        echo_lengths = torch.cat([batch.lengths, batch.shifted_lengths])
        echo_mask = frame_mask(echo_lengths, batch.echo.shape[1]).to(device)
        echo = model.standardise(torch.cat([batch.echo, batch.shifted_echo]).to(device), echo_mask)
        # Only the convolutions: sums over time of the comparison keep their digits.
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            voice = model.head.voice(model.stem(batch.voice.to(device), mask), mask)
            echo = model.head.echo(echo, echo_mask)
        voice, echo = voice.float(), echo.float()
        lengths = torch.minimum(batch.lengths[pairing.voice], echo_lengths[pairing.echo])
        pair_mask = stream_mask(frame_mask(lengths, batch.voice.shape[1]).to(device))
        result = model.head.compare(_chosen(voice, pairing.voice), _chosen(echo, pairing.echo), pair_mask)
        # Recorded attacks and negatives made here count alike, however many of either there are.
        made = (torch.arange(len(pairing.live)) >= len(batch.live)).long()
        labels = pairing.live.to(device)
        judged = correlation_loss(result.utterance, labels, self.correlation.label_smoothing, made.to(device))
        if not self.correlation.sync_weight:
            return judged, torch.zeros_like(judged)
        live = torch.nonzero(batch.live)[:, 0].to(device)
        own_mask = frame_mask(batch.lengths, batch.voice.shape[1])[:, ::STREAM_STRIDE].to(device)
        streams = (centred(_chosen(stream, live), own_mask[live]) for stream in (voice, echo))
        return judged, self.sync(*streams, own_mask[live].sum(dim=1))


def _chosen(streams: Tensor, items: Tensor) -> Tensor:
    """Choose items of ``(batch, ...)``, any of them several times.

    The gradient of ``streams[items]`` is added up by several threads in whatever order they come, so the last digits of
    a run would not repeat; that of ``index_select`` is added up in order.
    """
    return streams.index_select(0, items.to(streams.device))
