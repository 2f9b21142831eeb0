"""Training in several processes: each encodes its share of every batch, and all compare the whole of it.

The processes are started by `torchrun`, talk through `torch.distributed`, and average their gradients by
`DistributedDataParallel`. Each plans the same global batch, encodes every n-th part of it, and gathers the encodings of
the others; then each computes the loss of the whole batch. So losses that compare all items of a batch (in-batch
negatives, classes weighted alike) are those of one process with that batch, no process ever has fewer steps than
another, and batches need not divide evenly.
"""

import atexit
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from vivavoce.errors import SaidElsewhere, UserError
from vivavoce.models.layers.row_norm import remember

T = TypeVar("T")
# The first process computes features and validates while the others wait.
PATIENCE = timedelta(hours=24)


class Share:
    """What one process does of the whole; with one process, all of it."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def of(self, items: Tensor) -> Tensor:
        """This process's part of ``(items, ...)``; parts differ by one item at most."""
        first, last = self._bounds(len(items))[self.rank]
        return items[first:last]

    def gather(self, part: Tensor, items: int) -> Tensor:
        """All processes' parts as one ``(items, ...)``, through which each gets the gradient of its own."""
        if self.size == 1:
            return part
        bounds = self._bounds(items)
        whole = _Gathered.apply(part, [last - first for first, last in bounds], bounds[self.rank])
        assert isinstance(whole, Tensor)
        return whole

    def from_main(self, compute: Callable[[], T]) -> T:
        """What the first process computes, in all of them; what it cannot do, none can.

        Raises:
            UserError: as in the first process.
        """
        if self.size == 1:
            return compute()
        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = compute()
            except UserError as error:
                told[1] = error
        distributed.broadcast_object_list(told)
        if told[1] is not None:
            raise told[1] if self.main else SaidElsewhere(str(told[1]))
        return told[0]

    def wrap(self, module: nn.Module) -> nn.Module:
        """Average the gradients of ``module`` over the processes."""
        if self.size == 1:
            return module
        # Heads and losses that a step does not need have no gradient in it.
        wrapped = DistributedDataParallel(module, find_unused_parameters=True)
        # Statistics are shared layer by layer. As an argument it has another name in each version of PyTorch.
        wrapped.broadcast_buffers = False
        return wrapped

    def _bounds(self, items: int) -> list[tuple[int, int]]:
        return [(items * r // self.size, items * (r + 1) // self.size) for r in range(self.size)]


@contextmanager
def joined(device: torch.device) -> Iterator[Share]:
    """Join the processes that `torchrun` started to train on ``device``; where it did not, there is this one alone.

    They stay together until the process ends, so that one job may train one run after another.

    Raises:
        UserError: this machine has fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Share()
        return
    if not distributed.is_initialized():
        _open_group(device)
    # After an error its frames hold what averages gradients; the group could not go, and need not.
    atexit.unregister(_close_group)
    yield Share(distributed.get_rank(), distributed.get_world_size())
    distributed.barrier()
    atexit.register(_close_group)


def _open_group(device: torch.device) -> None:
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(_own_gpu())
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)


def _own_gpu() -> int:
    """Which GPU this process has, while each of this machine's processes has one."""
    own, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    processes = max(own + 1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if processes > gpus:
        raise UserError(
            f"{processes} processes were started on this machine, and it has {gpus} GPUs to train on; start at most "
            f"{gpus} (torchrun --nproc-per-node {gpus}), or set training.device=cpu."
        )
    return own


def _close_group() -> None:
    # What averages gradients must be gone before the group is: as its last owner it would wait for itself.
    gc.collect()
    if distributed.is_initialized():
        distributed.destroy_process_group()


class _Gathered(torch.autograd.Function):
    """Gather parts of differing sizes. Each process goes on to the same loss, so each already has the whole gradient.

    Averaging over the processes divides the gradient of a part, which one process alone has, by their number.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, sizes: list[int], own: tuple[int, int]) -> Tensor:  # pyright: ignore
        ctx.own, ctx.processes = own, len(sizes)
        padded = part.new_zeros(max(sizes), *part.shape[1:])
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([one[:size] for one, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore
        first, last = ctx.own
        return gradient[first:last] * ctx.processes, None, None


class _Summed(torch.autograd.Function):
    """Add a tensor up over the processes; its gradient is the sum of theirs, for each has used the sum."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:  # pyright: ignore
        whole = part.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore
        return _summed(gradient)


def _summed(part: Tensor) -> Tensor:
    whole = _Summed.apply(part)
    assert isinstance(whole, Tensor)
    return whole


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the items of all processes, on any device; `torch.nn.SyncBatchNorm` needs a GPU."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected two or more dimensions, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(batch, channels, ...)``; in evaluation with the running statistics."""
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        wide = input.float()
        count = wide.new_full((1,), input.numel() / input.shape[1])
        sums = _summed(torch.cat([wide.sum(axes), count]))
        count = sums[-1]
        mean = sums[:-1] / count
        centred = wide - mean.view(shape)
        variance = _summed(centred.square().sum(axes)) / count
        remember(self, mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)


def share_norms(module: nn.Module, share: Share) -> None:
    """Put `SharedBatchNorm` in the place of every batch norm, with its weights, where there are several processes."""
    if share.size == 1:
        return
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                shared = SharedBatchNorm(
                    child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
                )
                shared.load_state_dict(child.state_dict())
                setattr(parent, name, shared.to(next(iter(child.state_dict().values())).device))
