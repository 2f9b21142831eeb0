"""State dicts as other toolkits write them, and their x-vector forward passes written out a second time."""

import torch
from torch import Tensor
from torch.nn import functional

MELS, WIDTH, POOLED, EMBEDDING = 20, 16, 24, 12
KERNELS, DILATIONS = (5, 3, 3, 1, 1), (1, 2, 3, 1, 1)
XVECTOR_FAMILIES = ("wespeaker", "3dspeaker", "speechbrain")


def xvector(family: str, seed: int = 0) -> dict[str, Tensor]:
    """An x-vector checkpoint with batch norms as after training."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    def norm(channels: int, affine: bool) -> dict[str, Tensor]:
        running = {"running_mean": noise(channels), "running_var": noise(channels).square() + 0.5}
        learnt = {"weight": noise(channels) + 1, "bias": noise(channels)} if affine else {}
        return {**learnt, **running, "num_batches_tracked": torch.tensor(7)}

    weights: dict[str, Tensor] = {}

    def put(module: str, values: dict[str, Tensor]) -> None:
        weights.update({f"{module}.{name}": value for name, value in values.items()})

    def linear(module: str, channels_out: int, channels_in: int) -> None:
        put(module, {"weight": noise(channels_out, channels_in), "bias": noise(channels_out)})

    widths = (MELS, WIDTH, WIDTH, WIDTH, WIDTH, POOLED)
    for index, kernel in enumerate(KERNELS):
        conv = {"weight": noise(widths[index + 1], widths[index], kernel), "bias": noise(widths[index + 1])}
        if family == "speechbrain":
            put(f"blocks.{3 * index}.conv", conv)
            put(f"blocks.{3 * index + 2}.norm", norm(widths[index + 1], affine=True))
        else:
            put(f"frame_{index + 1}.conv_1d", conv)
            put(f"frame_{index + 1}.bn", norm(widths[index + 1], affine=False))
    if family == "speechbrain":
        linear("blocks.16.w", EMBEDDING, 2 * POOLED)
    else:
        linear("seg_1", EMBEDDING, 2 * POOLED)
    if family == "wespeaker":
        put("seg_bn_1", norm(EMBEDDING, affine=False))
        linear("seg_2", EMBEDDING, EMBEDDING)
    return weights


def embed(family: str, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """What that toolkit computes in evaluation for whole utterances ``(batch, mels, frames)``, without random noise."""
    speechbrain = family == "speechbrain"
    for index, (kernel, dilation) in enumerate(zip(KERNELS, DILATIONS, strict=True)):
        conv, norm = (
            (f"blocks.{3 * index}.conv", f"blocks.{3 * index + 2}.norm")
            if speechbrain
            else (f"frame_{index + 1}.conv_1d", f"frame_{index + 1}.bn")
        )
        if speechbrain and kernel > 1:
            width = dilation * (kernel - 1) // 2
            # Mirrored without the edge, one frame after the other.
            left = [x[:, :, place] for place in range(width, 0, -1)]
            right = [x[:, :, -1 - place] for place in range(1, width + 1)]
            x = torch.cat([torch.stack(left, 2), x, torch.stack(right, 2)], dim=2)
        x = functional.conv1d(x, weights[f"{conv}.weight"], weights[f"{conv}.bias"], dilation=dilation)
        x = torch.where(x > 0, x, 0.01 * x) if speechbrain else x.clamp(min=0)
        x = _normalised(x, weights, norm)
    mean, variance = x.mean(dim=2), x.var(dim=2)
    std = variance.sqrt() + 1e-5 if speechbrain else (variance + 1e-7).sqrt()
    first = "blocks.16.w" if speechbrain else "seg_1"
    x = torch.cat([mean, std], dim=1) @ weights[f"{first}.weight"].T + weights[f"{first}.bias"]
    if family != "wespeaker":
        return x
    x = _normalised(x.clamp(min=0), weights, "seg_bn_1")
    return x @ weights["seg_2.weight"].T + weights["seg_2.bias"]


def _normalised(x: Tensor, weights: dict[str, Tensor], norm: str) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean, variance = (weights[f"{norm}.running_{what}"].view(shape) for what in ("mean", "var"))
    x = (x - mean) / (variance + 1e-5).sqrt()
    if f"{norm}.weight" not in weights:
        return x
    return x * weights[f"{norm}.weight"].view(shape) + weights[f"{norm}.bias"].view(shape)
