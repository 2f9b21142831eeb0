"""What the loss curves do not show: gradients, updates, units that learn nothing, and what the network is fed."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

# Steps from one that is looked at to the next: about 5 ms for 6 million weights, so less than 0.1 ms a step.
EVERY = 100
# Values of each weight whose change by a step is followed.
FOLLOWED = 512
INPUTS = {"voice": "voice_stats", "echo": "echo_stats"}


class Monitor:
    """Looks at every hundredth step, and the first of each epoch; call `after_backward`, then `epoch_summary`.

    Parts are the model's children (trunk, head) and those of the losses (speaker_loss, ...). All sums stay on the
    device until the summary, so that no step waits for a GPU.
    """

    def __init__(self, model: nn.Module, loss: nn.Module, every: int = EVERY) -> None:
        """Follow the weights of ``model`` and ``loss``, one step in ``every``."""
        self.every = every
        self.model = model
        self.parts = {name: list(child.parameters()) for name, child in model.named_children()}
        self.parts |= {f"{name}_loss": list(child.parameters()) for name, child in loss.named_children()}
        self.parts = {name: weights for name, weights in self.parts.items() if weights}
        self._hooks: list[RemovableHandle] = []
        self._before: dict[str, list[Tensor]] = {}
        self._reset()
        self._listen()

    @torch.no_grad()
    def after_backward(self, optimiser: Optimizer, norm: Tensor | None = None, clip_norm: float | None = None) -> None:
        """Look at the gradients of a step, before the optimiser uses them.

        Args:
            optimiser: about to take the step.
            norm: norm of all gradients before they were clipped; None: they are as they were.
            clip_norm: largest norm that is let through.
        """
        self._compare()
        if norm is not None and clip_norm is not None:
            self._clipped = self._clipped + (norm.detach() > clip_norm)
            self._largest = torch.maximum(norm.detach(), torch.as_tensor(self._largest, device=norm.device))
        if self.looks:
            self._look(norm)
            self._deafen()
        self._steps += 1
        if self._steps % self.every == 0:
            self._listen()

    @property
    def looks(self) -> bool:
        """Whether the step to come is looked at."""
        return self._steps % self.every == 0

    def after_step(self, overshoot: Tensor) -> None:
        """Take the overshoot of the step that was looked at; see `vivavoce.training.diagnosis.curvature`."""
        self._figures["overshoot"].append(overshoot)

    def epoch_summary(self) -> dict[str, float]:
        """Return the figures of the epoch that ends, and begin anew.

        ``grad_norm``, ``grad_norm/<part>``: before clipping, median of the steps that were looked at;
        ``grad_norm_max``: the largest of all steps; ``update_ratio/<part>``: norm of a step's change of
        the weights over their own norm, where they have one; ``dead/<part>``: share of the units (rows of weight
        matrices) that had no gradient at all in any step, as a ReLU that is never active; ``clipped``: share of the
        steps whose gradients were clipped; ``overshoot``: how far steps went for their own batch, where that was
        measured; ``input_mean/<voice|echo>``, ``input_std/<voice|echo>``: of the normalised
        features, median over the channels.
        """
        self._compare()
        medians = {name: _median(values) for name, values in self._figures.items()}
        summary = {name: value for name, value in medians.items() if not math.isnan(value)}
        for part, alive in self._alive.items():
            units = sum(len(rows) for rows in alive.values())
            if units:
                summary[f"dead/{part}"] = sum(int((~rows).sum()) for rows in alive.values()) / units
        if self._steps:
            summary["clipped"] = float(self._clipped) / self._steps
        if self._largest:
            summary["grad_norm_max"] = float(self._largest)
        self._reset()
        self._listen()
        return summary

    def state_dict(self) -> dict[str, Any]:
        """What was seen of the epoch so far."""
        return {
            "steps": self._steps,
            "clipped": int(self._clipped),
            "largest": float(self._largest),
            "figures": {name: list(values) for name, values in self._figures.items()},
            "alive": {part: dict(rows) for part, rows in self._alive.items()},
            "before": {part: list(values) for part, values in self._before.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` stood."""
        self._reset()
        self._steps, self._clipped, self._largest = state["steps"], state["clipped"], state.get("largest", 0.0)
        self._figures.update(state["figures"])
        # A checkpoint is read onto the CPU, whatever it was written from.
        devices = {part: weights[0].device for part, weights in self.parts.items()}
        for part, alive in state["alive"].items():
            self._alive[part] = {place: rows.to(devices[part]) for place, rows in alive.items()}
        self._before = {part: [old.to(devices[part]) for old in values] for part, values in state["before"].items()}
        if self._steps % self.every == 0:
            self._listen()
        else:
            self._deafen()

    def _reset(self) -> None:
        self._steps = 0
        self._clipped: Tensor | int = 0
        self._largest: Tensor | float = 0.0  # norm
        self._figures: dict[str, list[Tensor]] = defaultdict(list)
        self._alive: dict[str, dict[int, Tensor]] = {part: {} for part in self.parts}

    def _look(self, norm: Tensor | None) -> None:
        """Norms of each part's gradients, and which rows of its weights have any."""
        squares = {}
        for part, weights in self.parts.items():
            rows = {place: _row_norms(weight.grad) for place, weight in enumerate(weights) if weight.grad is not None}
            squares[part] = torch.stack([row.square().sum() for row in rows.values()]).sum() if rows else None
            for place, row in rows.items():
                if weights[place].dim() > 1:
                    known = self._alive[part].get(place)
                    self._alive[part][place] = row > 0 if known is None else known | (row > 0)
        given = [square for square in squares.values() if square is not None]
        total = torch.stack(given).sum().sqrt() if given else torch.zeros(())
        clipped = 1.0 if norm is None else norm.detach().to(total.device) / total.clamp(min=1e-30)
        self._figures["grad_norm"].append(total if norm is None else norm.detach())
        for part, square in squares.items():
            found = torch.zeros(()) if square is None else square.sqrt() * clipped
            self._figures[f"grad_norm/{part}"].append(found)
        self._before = {part: [_some(weight).clone() for weight in weights] for part, weights in self.parts.items()}

    @torch.no_grad()
    def _compare(self) -> None:
        """How far the step that was looked at has moved the weights."""
        if not self._before:
            return
        for part, before in self._before.items():
            after = [_some(weight) for weight in self.parts[part]]
            moved = _norm(new - old for new, old in zip(after, before, strict=True))
            size = _norm(before)
            # Weights that begin at zero have no size that a step could be compared with.
            self._figures[f"update_ratio/{part}"].append(torch.where(size > 0, moved / size, math.nan))
        self._before = {}

    def _listen(self) -> None:
        """Hear what the network is fed in the next step of training."""
        self._deafen()
        for name, attribute in INPUTS.items():
            module = getattr(self.model, attribute, None)
            if isinstance(module, nn.Module):
                self._hooks.append(
                    module.register_forward_hook(lambda m, given, out, name=name: self._hear(name, m, given, out))
                )

    @torch.no_grad()
    def _hear(self, name: str, module: nn.Module, given: tuple[Any, ...], features: Any) -> None:
        if not module.training or not isinstance(features, Tensor):
            return
        mask = given[1] if len(given) > 1 else None  # padding is no input
        frames = features.detach().float().flatten(0, -2) if mask is None else features.detach().float()[mask]
        # Of the channel in the middle, since one that is constant in training may come to any scale.
        self._figures[f"input_mean/{name}"].append(frames.mean(dim=0).median())
        self._figures[f"input_std/{name}"].append(frames.std(dim=0).median())

    def _deafen(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def _row_norms(gradient: Tensor) -> Tensor:
    """Norm of the gradient of each unit's weights ``(units,)``; one value for a weight that is no matrix."""
    gradient = gradient.detach()
    return gradient.flatten(1).float().norm(dim=1) if gradient.dim() > 1 else gradient.float().norm()[None]


def _some(weight: Tensor) -> Tensor:
    """A part of a weight's values, spread over all of it."""
    flat = weight.detach().flatten()
    return flat[:: max(1, math.ceil(len(flat) / FOLLOWED))]


def _norm(values: Iterable[Tensor]) -> Tensor:
    return torch.stack([value.float().square().sum() for value in values]).sum().sqrt()


def _median(values: list[Tensor]) -> float:
    """Median of what is a number; NaN where nothing is."""
    return float(torch.stack([value.cpu() for value in values]).nanmedian())
