"""Banded products of two streams: every frame of one with the frames of the other within a reach of lags.

The band is cut into blocks of frames, so that time and memory grow with the length of an utterance, not with its
square; a block's band lies slanted in its product and is straightened by reading the rows one longer (Dai et al. 2019,
"Transformer-XL", appendix B, the other way round).
"""

from torch import Tensor
from torch.nn import functional


def lagged_products(first: Tensor, second: Tensor, reach: int) -> Tensor:
    """Inner products of ``first`` at frame ``t`` with ``second`` at ``t + lag`` for lags from ``-reach`` to ``reach``.

    Args:
        first: ``(batch, channels, frames)``.
        second: the same shape; beyond its ends it counts as zero.
        reach: furthest lag, frames.

    Returns:
        ``(batch, frames, 2 · reach + 1)``.
    """
    batch, channels, frames = first.shape
    block, windows = _windows(second, reach)
    count, width = windows.shape[2:]
    rows = functional.pad(first, (0, count * block - frames)).view(batch, channels, count, block)
    products = rows.permute(0, 2, 3, 1) @ windows.transpose(1, 2)
    slanted = functional.pad(products.flatten(2), (0, block))
    band = slanted.view(batch, count, block, width + 1)[..., : 2 * reach + 1]
    return band.flatten(1, 2)[:, :frames]


def lagged_sums(weights: Tensor, values: Tensor, reach: int) -> Tensor:
    """Sum ``values`` at ``t + lag`` under the weights of frame ``t``.

    Args:
        weights: ``(batch, frames, 2 · reach + 1)``.
        values: ``(batch, channels, frames)``; beyond its ends it counts as zero.
        reach: furthest lag, frames.

    Returns:
        ``(batch, channels, frames)``.
    """
    batch, frames, lags = weights.shape
    block, windows = _windows(values, reach)
    count, width = windows.shape[2:]
    rows = functional.pad(weights, (0, width + 1 - lags, 0, count * block - frames))
    slanted = rows.view(batch, count, -1)[:, :, : block * width].view(batch, count, block, width)
    sums = slanted @ windows.permute(0, 2, 3, 1)
    return sums.flatten(1, 2)[:, :frames].transpose(1, 2)


def at_lags(values: Tensor, reach: int) -> Tensor:
    """Values ``(batch, frames)`` at ``t + lag``: ``(batch, frames, 2 · reach + 1)``, zero beyond the ends."""
    return functional.pad(values, (reach, reach)).unfold(1, 2 * reach + 1, 1)


def _windows(stream: Tensor, reach: int) -> tuple[int, Tensor]:
    """Cut a stream into the windows that each block of frames reaches: ``(batch, channels, blocks, window)``."""
    frames = stream.shape[2]
    block = max(1, min(2 * reach, frames))
    count = -(-frames // block)
    padded = functional.pad(stream, (reach, reach + count * block - frames))
    return block, padded.unfold(2, block + 2 * reach, block)
