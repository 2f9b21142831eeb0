"""The GPUs of this machine, by NVML, NVIDIA's own library."""

import contextlib
import shlex
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psutil
import pynvml

from vivavoce.errors import UserError
from vivavoce.server.gpus import Gpu, GpuProcess, Instance

T = TypeVar("T")
MIB = 1024 * 1024


def local_gpus() -> list[Gpu]:
    """All GPUs of this machine, with the processes on them.

    Raises:
        UserError: there is no driver, it does not answer, or there is no GPU.
    """
    with _nvml():
        count = pynvml.nvmlDeviceGetCount()
        if not count:
            raise UserError("This machine has an NVIDIA driver, but no GPU that it shows to you.")
        return [_gpu(index) for index in range(count)]


@contextlib.contextmanager
def _nvml() -> Iterator[None]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise UserError(_no_driver(error)) from error
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _no_driver(error: pynvml.NVMLError) -> str:
    reasons: dict[int | None, str] = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "it has no NVIDIA driver (a server's GPUs: `vivavoce server gpus NAME`)",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "its NVIDIA driver is not loaded; load it, or install it for this kernel",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "its NVIDIA driver was updated while the old one is loaded; reboot",
        pynvml.NVML_ERROR_NO_PERMISSION: "you may not use its NVIDIA driver; ask for access to /dev/nvidia*",
    }
    other = f"its NVIDIA driver fails ({str(error).rstrip('.')}); reboot, or install it anew"
    return f"The GPUs of this machine cannot be read: {reasons.get(getattr(error, 'value', None), other)}."


def _gpu(index: int) -> Gpu:
    try:
        return _read(index)
    except pynvml.NVMLError as error:  # this one is lost; the others are not
        return Gpu(index, "", "unknown", 0, 0, None, None, str(error).rstrip("."), (), ())


def _read(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    split = _try(lambda: pynvml.nvmlDeviceGetMigMode(handle)[0], 0) == pynvml.NVML_DEVICE_MIG_ENABLE
    parts = _parts(handle) if split else []
    total, used = _memory(handle)
    processes = [] if split else _processes(handle, None)
    for part in parts:
        processes += _processes(part, pynvml.nvmlDeviceGetUUID(part))
    return Gpu(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        memory_total_mib=total,
        memory_used_mib=used,
        utilisation=_try(lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100, None),
        temperature_c=_try(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU), None),
        fault="MIG is on and has no instance" if split and not parts else None,
        mig=tuple(_instance(part) for part in parts),
        processes=tuple(processes),
    )


def _try(call: Callable[[], T], otherwise: T) -> T:
    """What NVML says, or ``otherwise`` where this GPU, driver or account does not have it."""
    try:
        return call()
    except pynvml.NVMLError:
        return otherwise


def _memory(handle: Any) -> tuple[int, int]:
    """Total and used, in MiB; none where GPU and processor share theirs.

    The first version of the call counts as used what the driver keeps for itself, unlike nvidia-smi.
    """
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError:
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            if getattr(error, "value", None) != pynvml.NVML_ERROR_NOT_SUPPORTED:
                raise
            return 0, 0
    return int(memory.total) // MIB, int(memory.used) // MIB


def _parts(handle: Any) -> list[Any]:
    """Handles of the MIG instances."""
    most = _try(lambda: pynvml.nvmlDeviceGetMaxMigDeviceCount(handle), 0)
    parts = (_try(lambda n=n: pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, n), None) for n in range(most))
    return [part for part in parts if part is not None]


def _instance(part: Any) -> Instance:
    name = pynvml.nvmlDeviceGetName(part)  # such as NVIDIA A100-SXM4-40GB MIG 1g.5gb
    return Instance(pynvml.nvmlDeviceGetUUID(part), name[max(name.find("MIG "), 0) :], *_memory(part))


def _processes(handle: Any, mig: str | None) -> list[GpuProcess]:
    computing = _running(
        handle, pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetComputeRunningProcesses_v2
    )
    drawing = _running(
        handle, pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3, pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2
    )
    found = {process.pid: (process, True) for process in drawing}
    found |= {process.pid: (process, False) for process in computing}
    return [_process(process, graphics, mig) for _, (process, graphics) in sorted(found.items())]


def _running(handle: Any, *calls: Callable[[Any], list[Any]]) -> list[Any]:
    """What the newest call that the driver knows says."""
    for call in calls:
        with contextlib.suppress(pynvml.NVMLError):
            return call(handle)
    return []


def _process(process: Any, graphics: bool, mig: str | None) -> GpuProcess:
    words: list[str] | None
    user = since = words = None
    with contextlib.suppress(psutil.Error):
        owner = psutil.Process(process.pid)
        with contextlib.suppress(psutil.Error):
            user = owner.username()
        with contextlib.suppress(psutil.Error):
            since = owner.create_time()
        with contextlib.suppress(psutil.Error):
            words = owner.cmdline() or [owner.name()]
    return GpuProcess(
        pid=process.pid,
        user=user,
        command=shlex.join(words) if words else None,
        since=since,
        memory_mib=None if process.usedGpuMemory is None else int(process.usedGpuMemory) // MIB,
        name=words[0] if words else "",
        graphics=graphics,
        mig=mig,
    )
