"""Which parameters learn when, and how fast: frozen stages and layer-wise rates."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from vivavoce.errors import UserError


class FreezeConfig(BaseModel):
    """Parts of the model that do not learn for some epochs; their batch statistics stand still, too."""

    model_config = ConfigDict(extra="forbid")

    parts: tuple[str, ...] = Field(
        min_length=1, description="modules or parameters by name, * for anything: trunk, head, trunk.blocks.0"
    )
    epochs: int | None = Field(default=None, ge=1, description="how long from the beginning; null: the whole run")


class LayerRatesConfig(BaseModel):
    """Learning rates of parts of the model, as multiples of the run's."""

    model_config = ConfigDict(extra="forbid")

    parts: dict[str, Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="factor of each part, named as in freeze; where several fit, the last counts"
    )
    trunk_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="each layer of the trunk learns this much slower than the one behind it (Howard & Ruder 2018, "
        "ULMFiT, section 3.2: 1/2.6)",
    )


def parameter_groups(
    model: nn.Module, others: Sequence[nn.Parameter], rate: float, config: LayerRatesConfig
) -> list[dict[str, Any]]:
    """Group the parameters by rate, for an optimiser.

    Args:
        model: its parameters may have rates of their own.
        others: parameters of the losses, which have the run's.
        rate: of the run.
        config: factors.

    Raises:
        UserError: a part names nothing.
    """
    decays = dict(_trunk_factors(model, config.trunk_decay))
    for part in config.parts:
        _check(model, part, "training.layer_rates.parts")
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for name, parameter in model.named_parameters():
        factor = next((decays[stage] for stage in decays if _inside(name, stage)), 1.0)
        for part, given in config.parts.items():
            if _inside(name, part):
                factor = given * (decays[stage] if (stage := _stage(name, decays)) else 1.0)
        groups.setdefault(factor, []).append(parameter)
    groups[1.0].extend(others)
    return [{"params": members, "lr": rate * factor} for factor, members in groups.items() if members]


def freeze(model: nn.Module, stages: Sequence[FreezeConfig], epoch: int) -> None:
    """Let learn in ``epoch`` (from 0) what is to learn then, in training mode; what is frozen keeps its statistics.

    Raises:
        UserError: a part names nothing, or nothing is left that learns.
    """
    frozen = [part for stage in stages for part in stage.parts if stage.epochs is None or epoch < stage.epochs]
    for part in frozen:
        _check(model, part, "training.freeze.parts")
    model.train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(_inside(name, part) for part in frozen))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("training.freeze.parts hold the whole model still, and nothing is left that learns; name less.")
    for name, module in model.named_modules():
        # Of the modules, batch norm alone learns without a gradient.
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and any(_inside(name, part) for part in frozen):
            module.eval()


def _trunk_factors(model: nn.Module, decay: float) -> Iterator[tuple[str, float]]:
    """Name the layers of the trunk that have parameters, from the waveform on, each with the factor of its rate."""
    trunk = getattr(model, "trunk", None)
    if decay == 1.0 or not isinstance(trunk, nn.Module):
        return
    layers = [f"trunk.{stage}" for stage in _stages(trunk)]
    layers = [layer for layer in layers if any(True for _ in model.get_submodule(layer).parameters())]
    for depth, layer in enumerate(reversed(layers)):
        yield layer, decay**depth


def _stages(trunk: nn.Module) -> list[str]:
    """The order that a trunk states, or else that of its definition."""
    if stated := getattr(trunk, "stages", None):
        return stated
    stages = []
    for name, child in trunk.named_children():
        inner = isinstance(child, nn.ModuleList | nn.Sequential)
        stages += [f"{name}.{index}" for index, _ in enumerate(child)] if inner else [name]
    return stages


def _stage(name: str, stages: dict[str, float]) -> str | None:
    return next((stage for stage in stages if _inside(name, stage)), None)


def _inside(name: str, part: str) -> bool:
    """Whether a module or parameter is ``part`` or lies in it."""
    return fnmatchcase(name, part) or fnmatchcase(name, f"{part}.*")


def _check(model: nn.Module, part: str, key: str) -> None:
    names = [name for name, _ in model.named_parameters()]
    if not any(_inside(name, part) for name in names):
        stages = sorted({".".join(name.split(".")[:2]) for name in names})
        raise UserError(f"{key} names {part}, and no part of the model is called so; there are {', '.join(stages)}.")
