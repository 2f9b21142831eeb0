"""Which GPU a job gets: one that nobody uses, or a sentence of who has them."""

from __future__ import annotations

import time
from typing import Any, Dict, List, NamedTuple, Optional, Set

from .answer import Refused

# Below these a GPU counts as idle: what a driver, a display or a monitor takes by itself.
IDLE_MEMORY_MIB, IDLE_MEMORY_SHARE, IDLE_UTILISATION = 600, 0.05, 0.1
COMMAND_SIGNS = 40


class _Device(NamedTuple):
    """A whole GPU, or one MIG instance of it."""

    index: int
    uuid: str
    name: str
    part: bool
    total_mib: int
    used_mib: int
    utilisation: float
    fault: Optional[str]
    processes: List[Dict[str, Any]]
    taken: bool


def choose(
    gpus: List[Dict[str, Any]],
    count: int,
    *,
    taken: Set[str],
    user: str,
    wanted: Optional[List[int]] = None,
    share: bool = False,
) -> List[Dict[str, Any]]:
    """Pick devices: those with the most free memory, then the least utilisation, among those that nobody uses.

    Args:
        gpus: What `nvidia.read` says.
        count: How many; where ``wanted`` is given, one for each index in it instead.
        taken: UUIDs that are reserved for jobs.
        user: Who asks, for the sentence.
        wanted: Indices of the GPUs to use.
        share: Use devices that are busy, too, where not enough are idle.

    Raises:
        Refused: not enough devices are idle, or a wanted one is not there.
    """
    devices = [device for gpu in gpus for device in _devices(gpu, taken)]
    if wanted is None:
        picked = _pick(devices, count, share)
        if len(picked) < count:
            raise Refused(_too_few(devices, picked, count, user))
    else:
        picked = []
        for index in wanted:
            here = [device for device in devices if device.index == index and device not in picked]
            one = _pick(here, 1, share)
            if not one:
                raise Refused(_not_this(devices, here, index, user))
            picked += one
    if len(picked) > 1 and any(device.part for device in picked):
        raise Refused("A program sees one MIG instance only, so a job on several GPUs needs whole ones; take one.")
    return [{"uuid": device.uuid, "index": device.index, "name": device.name} for device in picked]


def idle(gpus: List[Dict[str, Any]]) -> List[str]:
    """UUIDs of the devices that nobody uses."""
    devices = [device for gpu in gpus for device in _devices(gpu, set())]
    return [device.uuid for device in devices if not device.fault and _idle(device)]


def _devices(gpu: Dict[str, Any], taken: Set[str]) -> List[_Device]:
    def device(one: Dict[str, Any], processes: List[Dict[str, Any]], utilisation: Optional[float]) -> _Device:
        part = one is not gpu
        name = "{} {}".format(gpu["name"], one["name"]) if part else gpu["name"]
        memory = one["memory_total_mib"], one["memory_used_mib"]
        computing = [process for process in processes if not process.get("graphics")]
        # A lock of the whole GPU holds for its instances, too.
        reserved = one["uuid"] in taken or gpu["uuid"] in taken
        fault = gpu.get("fault") or (None if one["uuid"] else "it has no UUID")
        return _Device(gpu["index"], one["uuid"], name, part, *memory, utilisation or 0.0, fault, computing, reserved)

    if not gpu["mig"]:
        return [device(gpu, gpu["processes"], gpu["utilisation"])]
    return [
        device(part, [process for process in gpu["processes"] if process["mig"] == part["uuid"]], None)
        for part in gpu["mig"]
    ]


def _pick(devices: List[_Device], count: int, share: bool) -> List[_Device]:
    usable = [device for device in devices if not device.fault and (share or _idle(device))]
    if count > 1:
        usable = [device for device in usable if not device.part]

    def order(device: _Device) -> Any:
        return not _idle(device), device.used_mib - device.total_mib, device.utilisation, device.index

    return sorted(usable, key=order)[:count]


def _idle(device: _Device) -> bool:
    return not (device.processes or device.taken or device.utilisation >= IDLE_UTILISATION or _holds_memory(device))


def _holds_memory(device: _Device) -> bool:
    return device.used_mib >= max(IDLE_MEMORY_MIB, IDLE_MEMORY_SHARE * device.total_mib)


def _too_few(devices: List[_Device], picked: List[_Device], count: int, user: str) -> str:
    states = "; ".join(_state(device, user) for device in devices)
    usable = [device for device in devices if not device.fault]
    whole = [device for device in usable if not device.part]
    if not usable:
        return "No GPU of the server can be used: {}; ask who runs it.".format(states)
    if count > max(len(whole), 1):
        return "{} whole GPUs are asked for and the server has {}: {}; ask for fewer.".format(count, len(whole), states)
    free = "No GPU is free" if count == 1 else "{} GPUs are asked for, and free are {}".format(count, len(picked))
    return "{}: {}; wait{}, or start beside the others with --share and --gpu N.".format(
        free, states, "" if count == 1 else ", ask for fewer"
    )


def _not_this(devices: List[_Device], here: List[_Device], index: int, user: str) -> str:
    there = sorted({device.index for device in devices})
    if index not in there:
        return "The server has no GPU {}; it has {}.".format(index, ", ".join(map(str, there)))
    if not here:
        return "All of GPU {} is asked for already; name each GPU once.".format(index)
    states = "; ".join(_state(device, user) for device in here)
    if all(device.fault for device in here):
        return "{}; choose another with --gpu N.".format(states)
    return "{}; choose another with --gpu N, wait, or start beside the others with --share.".format(states)


def _state(device: _Device, user: str) -> str:
    """Who has the device, such as "GPU 0 (A100) is used by bob (pid 7, since 30 Nov 08:55, 12.0 GiB: python t.py)"."""
    label = "GPU {} ({})".format(device.index, device.name)
    if device.fault:
        return "{} cannot be used ({})".format(label, device.fault)
    if device.processes:
        return "{} is used by {}".format(label, ", ".join(_who(process, user) for process in device.processes))
    if device.taken:
        return "{} is reserved for a job".format(label)
    if _holds_memory(device):
        return "{} has {:.1f} GiB in use by a process that is not shown".format(label, device.used_mib / 1024)
    if not _idle(device):
        return "{} is busy at {:.0%} with a process that is not shown".format(label, device.utilisation)
    return "{} is free".format(label)


def short_command(command: str) -> str:
    """A command without the folder of its program, and on one line."""
    words = command.split() or [""]
    return " ".join([words[0].rpartition("/")[2] or words[0], *words[1:]])


def _who(process: Dict[str, Any], user: str) -> str:
    name = process["user"] or "somebody"
    command = short_command(process["command"] or process["name"])
    facts = ["pid {}".format(process["pid"])]
    if process["since"] is not None:
        facts.append("since " + time.strftime("%d %b %H:%M", time.localtime(process["since"])))
    if process["memory_mib"] is not None:
        facts.append("{:.1f} GiB".format(process["memory_mib"] / 1024))
    short = command if len(command) <= COMMAND_SIGNS else command[: COMMAND_SIGNS - 1] + "…"
    return "{} ({}{})".format("you" if name == user else name, ", ".join(facts), ": " + short if short else "")
