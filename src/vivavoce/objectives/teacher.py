"""The teacher's loss: voice and echo each find the window of the mouth's motion that they belong to.

The teacher is an encoder of the motion. It is trained along, and left behind when training ends: a model that is used
never sees any motion.
"""

from torch import Tensor, nn

from vivavoce.objectives.sync import SyncLoss

KERNEL = 5
# Frames of motion (10 ms) to one frame of the streams (20 ms).
STRIDE = 2


class MotionTeacher(nn.Module):
    """Encode motion into the streams' space; contrast it with the voice and with the echo (see `SyncLoss`)."""

    def __init__(self, motion_channels: int, channels: int, window: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(motion_channels, channels, KERNEL, stride=STRIDE, padding=KERNEL // 2), nn.GELU(),
            nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2), nn.GELU(),
            nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2),
        )  # fmt: skip
        self.voice, self.echo = SyncLoss(window), SyncLoss(window)

    def forward(self, voice: Tensor, echo: Tensor, motion: Tensor, mask: Tensor) -> Tensor:
        """Mean of the two losses, nats.

        Args:
            voice: centred stream ``(taught, channels, frames)`` at 20 ms.
            echo: centred stream ``(taught, channels, frames)`` at 20 ms.
            motion: ``(taught, 2 · frames or one less, motion_channels)`` at 10 ms.
            mask: frames of the streams that count, ``(taught, frames)``.
        """
        encoded = self.encoder(motion.transpose(1, 2))
        weight = mask[:, None].to(encoded.dtype)
        mean = (encoded * weight).sum(dim=2, keepdim=True) / weight.sum(dim=2, keepdim=True).clamp(min=1)
        encoded = (encoded - mean) * weight
        lengths = mask.sum(dim=1)
        return 0.5 * (self.voice(voice, encoded, lengths) + self.echo(echo, encoded, lengths))
