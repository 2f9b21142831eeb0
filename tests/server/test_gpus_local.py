import os
import shlex
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from vivavoce.errors import UserError
from vivavoce.server.gpus_local import local_gpus

from ..tiny import assert_refused, run_cli

MIB = 1024 * 1024
NOT_SUPPORTED = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def failing(code: int) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise pynvml.NVMLError(code)

    return call


class Nvml:
    """NVIDIA's library as it would answer on a machine with these GPUs; a handle is what the test says of a GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *gpus: dict[str, Any]) -> None:
        self.shut = 0
        calls = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": self._shutdown,
            "nvmlDeviceGetCount": lambda: len(gpus),
            "nvmlDeviceGetHandleByIndex": lambda index: self._value(gpus[index], "handle", gpus[index]),
            "nvmlDeviceGetUUID": lambda gpu: gpu["uuid"],
            "nvmlDeviceGetName": lambda gpu: gpu["name"],
            "nvmlDeviceGetMigMode": lambda gpu: [int("parts" in self._mig(gpu))] * 2,
            "nvmlDeviceGetMaxMigDeviceCount": lambda gpu: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self._part,
            "nvmlDeviceGetMemoryInfo": self._memory,
            "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=self._value(gpu, "use"), memory=0),
            "nvmlDeviceGetTemperature": lambda gpu, sensor: self._value(gpu, "temperature"),
            "nvmlDeviceGetComputeRunningProcesses_v3": lambda gpu: self._value(gpu, "new", gpu.get("computing", [])),
            "nvmlDeviceGetComputeRunningProcesses_v2": lambda gpu: gpu.get("computing", []),
            "nvmlDeviceGetGraphicsRunningProcesses_v3": lambda gpu: gpu.get("drawing", []),
            "nvmlDeviceGetGraphicsRunningProcesses_v2": lambda gpu: gpu.get("drawing", []),
        }
        for name, call in calls.items():
            monkeypatch.setattr(pynvml, name, call)

    def _shutdown(self) -> None:
        self.shut += 1

    def _value(self, gpu: dict[str, Any], key: str, otherwise: Any = NOT_SUPPORTED) -> Any:
        value = gpu.get(key, otherwise)
        if isinstance(value, pynvml.NVMLError):
            raise value
        return value

    def _mig(self, gpu: dict[str, Any]) -> dict[str, Any]:
        if gpu.get("old"):
            raise NOT_SUPPORTED
        return gpu

    def _part(self, gpu: dict[str, Any], number: int) -> dict[str, Any]:
        if number >= len(gpu["parts"]):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return gpu["parts"][number]

    def _memory(self, gpu: dict[str, Any], version: int | None = None) -> Any:
        if "memory" not in gpu or (version and gpu.get("old")):
            raise NOT_SUPPORTED
        total, used = gpu["memory"]
        return SimpleNamespace(total=total * MIB, used=(used if version else used + 500) * MIB)


def running(pid: int, mib: int | None) -> Any:
    return SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else mib * MIB)


WHOLE = {"uuid": "GPU-a", "name": "NVIDIA A100-SXM4-40GB", "memory": (40960, 1000), "use": 42, "temperature": 51}


def test_gpus_have_their_figures_and_the_owners_of_their_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(monkeypatch, {**WHOLE, "computing": [running(os.getpid(), 900)]})
    (gpu,) = local_gpus()
    assert (gpu.index, gpu.uuid, gpu.name, gpu.fault) == (0, "GPU-a", "NVIDIA A100-SXM4-40GB", None)
    assert (gpu.memory_total_mib, gpu.memory_used_mib, gpu.utilisation, gpu.temperature_c) == (40960, 1000, 0.42, 51)
    (process,) = gpu.processes
    assert (process.pid, process.memory_mib, process.graphics) == (os.getpid(), 900, False)
    assert process.user == psutil.Process().username()
    assert process.since == psutil.Process().create_time() < time.time()
    assert process.command == shlex.join(psutil.Process().cmdline())
    assert nvml.shut == 1


def test_process_that_is_gone_or_hidden_has_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: psutil.Process) -> list[str]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "cmdline", denied)
    Nvml(monkeypatch, {**WHOLE, "computing": [running(2**22 + 1, None), running(os.getpid(), 1)]})
    (gpu,) = local_gpus()
    hidden, gone = gpu.processes
    assert (gone.user, gone.since, gone.command, gone.memory_mib) == (None, None, None, None)
    assert hidden.user is not None
    assert hidden.command is None


def test_process_that_draws_and_computes_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(monkeypatch, {**WHOLE, "computing": [running(1, 5)], "drawing": [running(1, 5), running(2, 7)]})
    assert [(p.pid, p.graphics) for p in local_gpus()[0].processes] == [(1, False), (2, True)]


def test_mig_instances_have_their_own_memory_and_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    part = {"uuid": "MIG-1", "name": "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "memory": (19968, 900)}
    parts = [{**part, "computing": [running(1, 800)]}, {**part, "uuid": "MIG-2", "memory": (19968, 19)}]
    split = {**WHOLE, "parts": parts, "computing": [running(1, 800)]}  # whom one may ask for all is told all
    empty = {**WHOLE, "uuid": "GPU-b", "parts": []}
    Nvml(monkeypatch, split, empty)
    gpu, other = local_gpus()
    assert [(p.uuid, p.name, p.memory_used_mib) for p in gpu.mig] == [
        ("MIG-1", "MIG 3g.20gb", 900),
        ("MIG-2", "MIG 3g.20gb", 19),
    ]
    assert [(p.pid, p.mig) for p in gpu.processes] == [(1, "MIG-1")]
    assert gpu.free == ["MIG-2"]
    assert other.fault == "MIG is on and has no instance"


def test_old_driver_is_asked_by_its_own_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {
        **WHOLE,
        "old": True,
        "new": pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        "computing": [running(1, 5)],
    }
    Nvml(monkeypatch, old)
    (gpu,) = local_gpus()
    assert gpu.memory_used_mib == 1500  # with what the driver keeps for itself, which it does not tell apart
    assert [p.pid for p in gpu.processes] == [1]


def test_what_a_gpu_does_not_tell_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(monkeypatch, {"uuid": "GPU-a", "name": "NVIDIA GB10"})
    (gpu,) = local_gpus()
    assert (gpu.memory_total_mib, gpu.utilisation, gpu.temperature_c, gpu.fault) == (0, None, None, None)
    assert gpu.free == ["GPU-a"]


def test_lost_gpu_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(monkeypatch, {**WHOLE, "handle": pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)}, WHOLE)
    lost, well = local_gpus()
    assert (lost.index, lost.fault, lost.free) == (0, "GPU is lost", [])
    assert (well.index, well.fault) == (1, None)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "has no NVIDIA driver"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "/dev/nvidia"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
    ],
)
def test_driver_that_fails_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", failing(code))
    assert_refused(run_cli("gpus"), sentence)
    assert_refused(run_cli("gpus", "--json"), sentence)


def test_no_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(monkeypatch)
    with pytest.raises(UserError, match="no GPU that it shows to you"):
        local_gpus()
    assert nvml.shut == 1


def test_command_prints_a_table_or_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    Nvml(monkeypatch, WHOLE, {**WHOLE, "uuid": "GPU-b", "use": 0, "memory": (40960, 3)})
    shown = run_cli("gpus")
    assert shown.code == 0
    assert "42%   51 °C  user not shown" in shown.out
    assert shown.out.splitlines()[3].endswith("free")
    document = run_cli("gpus", "--json").json
    assert document["server"] is None
    assert [gpu["free"] for gpu in document["gpus"]] == [[], ["GPU-b"]]
    assert_refused(run_cli("gpus", "--watch", "--json"), "--watch")
