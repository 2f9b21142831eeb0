"""Half precision: which type the encoders compute in, and the scaling that float16 gradients need."""

import platform
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Precision = Literal["auto", "float32", "bfloat16", "float16"]
ARM = ("aarch64", "arm64")
# What PyTorch asks of x86 processors; a name that a version of it lacks counts as no.
X86 = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
TYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

# A scale that is too large is halved and fits soon. Where gradients do not fit after so many steps in a row, or at so
# small a scale, it is not the scale that is wrong.
MOST_LEFT_OUT = 20
LEAST_SCALE = 2.0**-12


def autocast_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Type of the encoders under autocast on ``device``, None for float32; auto: bfloat16 where it is native."""
    if precision != "auto":
        return TYPES[precision]
    return torch.bfloat16 if _native(device) else None


def _native(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 without emulating it, which is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Builds without oneDNN, as for Macs with ARM, do not have the operator at all.
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # oneDNN says yes on ARM where there are instructions for it, but on x86 wherever AVX-512 can emulate them.
    return platform.machine().lower() in ARM or any(getattr(torch.cpu, ask, bool)() for ask in X86)


class Gradients:
    """Gradients of one step of the optimiser: summed over batches, unscaled, clipped.

    float16 holds nothing below 6e-8, so its losses are scaled up before the backward pass and the gradients down
    behind it (Micikevicius et al. 2018, "Mixed precision training", section 3.2); a step whose gradients overflow is
    left out, and the scale halved.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], autocast: torch.dtype | None, device: torch.device) -> None:
        self.parameters = list(parameters)
        self.scaler = torch.amp.GradScaler(device.type, enabled=autocast is torch.float16)
        self.left_out = 0  # steps, one after another up to now

    @property
    def scaled(self) -> bool:
        """Whether gradients that are not finite are expected now and then."""
        return self.scaler.is_enabled()

    def add(self, loss: Tensor, share: float) -> None:
        """Add the gradients of ``share`` of a batch's loss."""
        self.scaler.scale(loss * share).backward()

    def clip(self, optimiser: Optimizer, largest: float, times: float = 1.0) -> Tensor:
        """Multiply the gradients, clip their norm to ``largest`` and return what it was before.

        Where it is not finite, they stay as they are, so that they tell where that began.
        """
        self.scaler.unscale_(optimiser)
        norm = self.norm() * times
        if torch.isfinite(norm):
            factor = times * (largest / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(self._given(), factor)  # pyright: ignore[reportPrivateImportUsage]
        return norm

    def norm(self) -> Tensor:
        """The norm of all gradients, as they are."""
        norms = torch._foreach_norm(self._given())  # pyright: ignore[reportPrivateImportUsage]
        return torch.stack(norms).norm()

    def expected(self, norm: Tensor) -> bool:
        """Take the norm of a step: is it finite, or an overflow of the scale as there is one now and then?"""
        self.left_out = 0 if torch.isfinite(norm) else self.left_out + 1
        if not self.left_out:
            return True
        return self.scaled and self.left_out < MOST_LEFT_OUT and self.scaler.get_scale() > LEAST_SCALE

    def step(self, optimiser: Optimizer) -> bool:
        """Take the optimiser's step, unless scaled gradients overflowed; returns whether it was taken."""
        before = self.scaler.get_scale()
        self.scaler.step(optimiser)
        self.scaler.update()
        optimiser.zero_grad(set_to_none=True)
        return self.scaler.get_scale() >= before

    def state_dict(self) -> dict[str, Any]:
        """The scale, how long it has held, and the steps that were left out last."""
        return {**self.scaler.state_dict(), "left_out": self.left_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved scale; nothing where none is used."""
        self.left_out = state.get("left_out", 0)  # older runs did not count
        self.scaler.load_state_dict(state)

    def _given(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]
