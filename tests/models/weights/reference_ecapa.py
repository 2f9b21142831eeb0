"""ECAPA-TDNN checkpoints as four toolkits write them, and their forward passes written out a second time.

Nothing here knows our modules: keys, shapes and arithmetic are read off SpeechBrain `lobes/models/ECAPA_TDNN.py`,
3D-Speaker's copy of it, WeSpeaker `models/ecapa_tdnn.py` and TaoRuijie/ECAPA-TDNN `model.py`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

MELS, WIDTH, POOLED, SCALE, SQUEEZE, EMBEDDING = 20, 16, 24, 4, 8, 12
DILATIONS = (2, 3, 4)
# Each toolkit, and the options under which its checkpoints differ.
CHECKPOINTS = [
    ("speechbrain", {}),
    ("speechbrain", {"context": False}),
    ("3dspeaker", {}),
    ("wespeaker", {}),
    ("wespeaker", {"context": False}),
    ("wespeaker", {"last_norm": True}),
    ("tao", {}),
]


@dataclass
class Writer:
    """Random weights under the names that are asked for, batch norms as after training."""

    seed: int
    weights: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator) * 0.3

    def affine(self, name: str, channels_out: int, channels_in: int, *kernel: int) -> None:
        self.weights[f"{name}.weight"] = self.noise(channels_out, channels_in, *kernel)
        self.weights[f"{name}.bias"] = self.noise(channels_out)

    def norm(self, name: str, channels: int) -> None:
        self.weights[f"{name}.weight"] = self.noise(channels) + 1
        self.weights[f"{name}.bias"] = self.noise(channels)
        self.weights[f"{name}.running_mean"] = self.noise(channels)
        self.weights[f"{name}.running_var"] = self.noise(channels).square() + 0.5
        self.weights[f"{name}.num_batches_tracked"] = torch.tensor(7)


def checkpoint(family: str, context: bool = True, last_norm: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """A state dict as ``family`` writes it."""
    writer = Writer(seed)
    write = {"speechbrain": _write_speechbrain, "3dspeaker": _write_speechbrain, "wespeaker": _write_wespeaker}
    write.get(family, _write_tao)(writer, 3 * POOLED if context else POOLED)
    if last_norm:
        writer.norm("bn2", EMBEDDING)
    return writer.weights


def embed(family: str, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """What that toolkit computes in evaluation for whole utterances ``(batch, mels, frames)``."""
    forward = {"speechbrain": _speechbrain, "3dspeaker": _speechbrain, "wespeaker": _wespeaker, "tao": _tao}
    return forward[family](weights, x)


def _write_speechbrain(writer: Writer, attended: int) -> None:
    branch = WIDTH // SCALE
    writer.affine("blocks.0.conv.conv", WIDTH, MELS, 5)
    writer.norm("blocks.0.norm.norm", WIDTH)
    for block in (f"blocks.{index}" for index in (1, 2, 3)):
        for layer in ("tdnn1", "tdnn2"):
            writer.affine(f"{block}.{layer}.conv.conv", WIDTH, WIDTH, 1)
            writer.norm(f"{block}.{layer}.norm.norm", WIDTH)
        for index in range(SCALE - 1):
            writer.affine(f"{block}.res2net_block.blocks.{index}.conv.conv", branch, branch, 3)
            writer.norm(f"{block}.res2net_block.blocks.{index}.norm.norm", branch)
        writer.affine(f"{block}.se_block.conv1.conv", SQUEEZE, WIDTH, 1)
        writer.affine(f"{block}.se_block.conv2.conv", WIDTH, SQUEEZE, 1)
    writer.affine("mfa.conv.conv", POOLED, 3 * WIDTH, 1)
    writer.norm("mfa.norm.norm", POOLED)
    writer.affine("asp.tdnn.conv.conv", 10, attended, 1)
    writer.norm("asp.tdnn.norm.norm", 10)
    writer.affine("asp.conv.conv", POOLED, 10, 1)
    writer.norm("asp_bn.norm", 2 * POOLED)
    writer.affine("fc.conv", EMBEDDING, 2 * POOLED, 1)


def _write_wespeaker(writer: Writer, attended: int) -> None:
    branch = WIDTH // SCALE
    writer.affine("layer1.conv", WIDTH, MELS, 5)
    writer.norm("layer1.bn", WIDTH)
    for block in (f"layer{index}.se_res2block" for index in (2, 3, 4)):
        for layer in ("0", "2"):
            writer.affine(f"{block}.{layer}.conv", WIDTH, WIDTH, 1)
            writer.norm(f"{block}.{layer}.bn", WIDTH)
        for index in range(SCALE - 1):
            writer.affine(f"{block}.1.convs.{index}", branch, branch, 3)
            writer.norm(f"{block}.1.bns.{index}", branch)
        writer.affine(f"{block}.3.linear1", SQUEEZE, WIDTH)
        writer.affine(f"{block}.3.linear2", WIDTH, SQUEEZE)
    writer.affine("conv", POOLED, 3 * WIDTH, 1)
    writer.affine("pool.linear1", 10, attended, 1)
    writer.affine("pool.linear2", POOLED, 10, 1)
    writer.norm("bn", 2 * POOLED)
    writer.affine("linear", EMBEDDING, 2 * POOLED)


def _write_tao(writer: Writer, attended: int) -> None:
    branch = WIDTH // SCALE
    writer.affine("conv1", WIDTH, MELS, 5)
    writer.norm("bn1", WIDTH)
    for block in ("layer1", "layer2", "layer3"):
        for number in (1, 3):
            writer.affine(f"{block}.conv{number}", WIDTH, WIDTH, 1)
            writer.norm(f"{block}.bn{number}", WIDTH)
        for index in range(SCALE - 1):
            writer.affine(f"{block}.convs.{index}", branch, branch, 3)
            writer.norm(f"{block}.bns.{index}", branch)
        writer.affine(f"{block}.se.se.1", SQUEEZE, WIDTH, 1)
        writer.affine(f"{block}.se.se.3", WIDTH, SQUEEZE, 1)
    writer.affine("layer4", POOLED, 3 * WIDTH, 1)
    writer.affine("attention.0", 10, attended, 1)
    writer.norm("attention.2", 10)
    writer.affine("attention.4", POOLED, 10, 1)
    writer.norm("bn5", 2 * POOLED)
    writer.affine("fc6", EMBEDDING, 2 * POOLED)
    writer.norm("bn6", EMBEDDING)


def _conv(w: dict[str, Tensor], name: str, x: Tensor, dilation: int = 1, mirrored: bool = False) -> Tensor:
    kernel = w[f"{name}.weight"]
    kernel = kernel if kernel.ndim == 3 else kernel[:, :, None]
    width = dilation * (kernel.shape[2] - 1) // 2
    x = functional.pad(x, (width, width), mode="reflect" if mirrored and width else "constant")
    return functional.conv1d(x, kernel, w[f"{name}.bias"], dilation=dilation)


def _norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    running = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return functional.batch_norm(x, *running, w[f"{name}.weight"], w[f"{name}.bias"])


def _speechbrain(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def tdnn(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        return _norm(w, f"{name}.norm.norm", _conv(w, f"{name}.conv.conv", x, dilation, mirrored=True).relu())

    x = tdnn("blocks.0", x)
    outputs = []
    for index, dilation in enumerate(DILATIONS, 1):
        y = tdnn(f"blocks.{index}.tdnn1", x)
        chunks = list(y.chunk(SCALE, dim=1))
        for k in range(1, SCALE):
            given = chunks[k] if k == 1 else chunks[k] + chunks[k - 1]
            chunks[k] = tdnn(f"blocks.{index}.res2net_block.blocks.{k - 1}", given, dilation)
        y = tdnn(f"blocks.{index}.tdnn2", torch.cat(chunks, dim=1))
        gate = _conv(w, f"blocks.{index}.se_block.conv1.conv", y.mean(dim=2, keepdim=True)).relu()
        x = _conv(w, f"blocks.{index}.se_block.conv2.conv", gate).sigmoid() * y + x
        outputs.append(x)
    x = tdnn("mfa", torch.cat(outputs, dim=1))
    attended = x
    if w["asp.tdnn.conv.conv.weight"].shape[1] > POOLED:
        std = x.var(dim=2, keepdim=True, correction=0).clamp(min=1e-12).sqrt()
        attended = torch.cat([x, x.mean(dim=2, keepdim=True).expand_as(x), std.expand_as(x)], dim=1)
    attention = _conv(w, "asp.conv.conv", tdnn("asp.tdnn", attended).tanh()).softmax(dim=2)
    mean = (attention * x).sum(dim=2)
    std = (attention * (x - mean[:, :, None]).square()).sum(dim=2).clamp(min=1e-12).sqrt()
    return _conv(w, "fc.conv", _norm(w, "asp_bn.norm", torch.cat([mean, std], dim=1))[:, :, None])[:, :, 0]


def _identity_last(w: dict[str, Tensor], convs: str, norms: str, x: Tensor, dilation: int) -> Tensor:
    chunks = x.split(WIDTH // SCALE, dim=1)
    outputs, y = [], chunks[0]
    for k in range(SCALE - 1):
        y = chunks[0] if k == 0 else y + chunks[k]
        y = _norm(w, f"{norms}.{k}", _conv(w, f"{convs}.{k}", y, dilation).relu())
        outputs.append(y)
    return torch.cat([*outputs, chunks[-1]], dim=1)


def _squares_pooled(attention: Tensor, x: Tensor, floor: float) -> Tensor:
    mean = (attention * x).sum(dim=2)
    variance = (attention * x.square()).sum(dim=2) - mean.square()
    return torch.cat([mean, variance.clamp(min=floor).sqrt()], dim=1)


def _wespeaker(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def tdnn(name: str, x: Tensor) -> Tensor:
        return _norm(w, f"{name}.bn", _conv(w, f"{name}.conv", x).relu())

    x = tdnn("layer1", x)
    outputs = []
    for index, dilation in enumerate(DILATIONS, 2):
        block = f"layer{index}.se_res2block"
        y = _identity_last(w, f"{block}.1.convs", f"{block}.1.bns", tdnn(f"{block}.0", x), dilation)
        y = tdnn(f"{block}.2", y)
        gate = _conv(w, f"{block}.3.linear1", y.mean(dim=2, keepdim=True)).relu()
        x = x + y * _conv(w, f"{block}.3.linear2", gate).sigmoid()
        outputs.append(x)
    x = _conv(w, "conv", torch.cat(outputs, dim=1)).relu()
    attended = x
    if w["pool.linear1.weight"].shape[1] > POOLED:
        std = (x.var(dim=2, keepdim=True) + 1e-7).sqrt()
        attended = torch.cat([x, x.mean(dim=2, keepdim=True).expand_as(x), std.expand_as(x)], dim=1)
    attention = _conv(w, "pool.linear2", _conv(w, "pool.linear1", attended).tanh()).softmax(dim=2)
    pooled = _norm(w, "bn", _squares_pooled(attention, x, 1e-7))
    embedding = functional.linear(pooled, w["linear.weight"], w["linear.bias"])
    return _norm(w, "bn2", embedding) if "bn2.weight" in w else embedding


def _tao(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def tdnn(name: str, number: str, x: Tensor) -> Tensor:
        return _norm(w, f"{name}bn{number}", _conv(w, f"{name}conv{number}", x).relu())

    x = tdnn("", "1", x)
    outputs: list[Tensor] = []
    for index, dilation in enumerate(DILATIONS, 1):
        block = f"layer{index}"
        given = x + sum(outputs) if outputs else x
        y = _identity_last(w, f"{block}.convs", f"{block}.bns", tdnn(f"{block}.", "1", given), dilation)
        y = tdnn(f"{block}.", "3", y)
        gate = _conv(w, f"{block}.se.se.1", y.mean(dim=2, keepdim=True)).relu()
        outputs.append(y * _conv(w, f"{block}.se.se.3", gate).sigmoid() + given)
    x = _conv(w, "layer4", torch.cat(outputs, dim=1)).relu()
    std = x.var(dim=2, keepdim=True).clamp(min=1e-4).sqrt()
    attended = torch.cat([x, x.mean(dim=2, keepdim=True).expand_as(x), std.expand_as(x)], dim=1)
    attention = _conv(w, "attention.4", _norm(w, "attention.2", _conv(w, "attention.0", attended).relu()).tanh())
    pooled = _norm(w, "bn5", _squares_pooled(attention.softmax(dim=2), x, 1e-4))
    return _norm(w, "bn6", functional.linear(pooled, w["fc6.weight"], w["fc6.bias"]))
