"""Which GPUs this server has, how busy they are, and whose the processes on them are: read from nvidia-smi and ps."""

from __future__ import annotations

import calendar
import re
import subprocess
import time
from html import escape, unescape
from typing import Any, Dict, List, Optional
from xml.etree import ElementTree

from .answer import Refused

TIMEOUT_S = 60.0
# POSIX shell. It prints what nvidia-smi and ps say, each part below a line that begins with the sign 0x1e.
# A container's sshd does not hand on the PATH of the image. The list of clocks is nine tenths of the text and not
# always well-formed. Where one GPU is lost, older drivers say nothing of the others unless each is asked for alone.
SCRIPT = r"""
PATH=$PATH:/usr/local/nvidia/bin
ask() {
    if command -v timeout >/dev/null; then timeout 20 nvidia-smi "$@" 2>&1; else nvidia-smi "$@" 2>&1; fi
}
brief() { printf '%s\n' "$1" | sed '/<supported_clocks>/,/<\/supported_clocks>/d'; }
if command -v nvidia-smi >/dev/null; then
    query=$(ask -q -x)
    code=$?
    query=$(brief "$query")
    case $query in
    *"<gpu id="*) ;;
    *"device handle"*)
        said=$query query= number=0
        while [ $number -lt 32 ]; do
            one=$(ask -q -x -i $number)
            case $one in *"No devices were found"*) break ;; esac
            query="$query
[$number]
$(brief "$one")"
            number=$((number + 1))
        done
        query=${query:-$said} ;;
    esac
    printf '\n\036code\n%s\n\036query\n%s\n\036listing\n' "$code" "$query"
    ask -L
    printf '\n\036owners\n'
    pids=$(printf '%s\n' "$query" | sed -n 's/.*<pid>\([0-9][0-9]*\)<.*/\1/p' | tr '\n' ',')
    [ -z "$pids" ] || TZ=UTC0 ps -ww -o pid= -o user:32= -o lstart= -o args= -p "${pids%,}" 2>/dev/null || :
else
    printf '\036absent\n'
fi
"""

Gpu = Dict[str, Any]


class NoGpu(Refused):
    """The server has no NVIDIA GPU, or none that it shows to this account."""


def read() -> List[Gpu]:
    """All GPUs of this machine, with the processes on them.

    Raises:
        NoGpu: there is none.
        Refused: the driver does not answer.
    """
    try:
        ran = subprocess.run(
            ["sh", "-c", SCRIPT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise Refused(_failure("", 124)) from None
    return gpus(ran.stdout.decode(errors="replace"))


def gpus(said: str) -> List[Gpu]:
    """All GPUs by what ``SCRIPT`` printed.

    Raises:
        NoGpu: there is none.
        Refused: the driver does not answer.
    """
    pieces = re.split(r"^\x1e(\w+)\n", said, flags=re.MULTILINE)[1:]
    parts = dict(zip(pieces[::2], pieces[1::2]))
    if "absent" in parts:
        raise NoGpu("There is no nvidia-smi on the server, so it has no NVIDIA GPU or no driver for it.")
    if "owners" not in parts:
        raise Refused("The server broke off while it said which GPUs it has; try again.")
    return parse(parts["query"], parts["listing"], parts["owners"], int(parts["code"]))


def parse(query: str, listing: str, owners: str = "", code: int = 0) -> List[Gpu]:
    """GPUs by the texts of `nvidia-smi -q -x`, `nvidia-smi -L` and ps, and the exit code of the first.

    Raises:
        NoGpu: there is none.
        Refused: the driver does not answer.
    """
    people, listed = _people(owners), _listed(listing)
    found: List[Gpu] = []
    lost: List[Gpu] = []
    asked: Optional[int] = None
    # One by one, since what one GPU says may be no XML, and several documents may follow one another.
    for match in _PARTS.finditer(query):
        if match["asked"]:
            asked = int(match["asked"])
        elif match["gpu"]:
            number = len(found) if asked is None else asked
            element = _element(match["gpu"])
            found.append(_gpu(element, listed, number, people) if element is not None else _lost(number, _UNREADABLE))
        else:
            lost.append(_lost(int(match["lost"]) if match["lost"] else asked, match["why"]))
    for gpu in lost:
        taken = {other["index"] for other in found}
        if gpu["index"] is None:
            gpu["index"] = min(set(range(len(taken) + 1)) - taken)
        if gpu["index"] not in taken:
            found.append(gpu)
    if not any(gpu["uuid"] for gpu in found):
        sentence = _failure(query, code)
        raise NoGpu(sentence) if "No devices were found" in query else Refused(sentence)
    return sorted(found, key=lambda gpu: gpu["index"])


_UNREADABLE = "nvidia-smi says nothing of it that can be read"
# The number of a GPU that was asked for alone, what one GPU says, or that it is lost, in one of these forms:
# "...device handle for GPU1: 0000:34:00.0: Unknown Error", "...for gpu 0000:0B:00.0: GPU is lost.  Reboot the system".
_PARTS = re.compile(
    r"^\[(?P<asked>\d+)\]$|(?P<gpu><gpu id=.*?</gpu>)"
    r"|device handle for gpu ?(?P<lost>\d+(?=: ))?[^\n]*?: (?P<why>[A-Z][^.\n]*)",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)


def _gpu(element: ElementTree.Element, listed: Dict[str, Any], number: int, people: Dict[int, Dict[str, Any]]) -> Gpu:
    uuid, total = _text(element, "uuid"), _memory(element, "total")
    lines = listed.get(uuid, {"index": number, "mig": {}})
    mig = [_instance(device, lines["mig"]) for device in element.iterfind("mig_devices/mig_device")]
    fault = None
    if not uuid.startswith("GPU-") or re.search("lost|unknown error", total, re.IGNORECASE):
        fault = (total if uuid.startswith("GPU-") else uuid).strip("[]") or "no answer"
    elif _text(element, "mig_mode/current_mig") == "Enabled" and not mig:
        fault = "MIG is on and has no instance"
    return {
        "index": lines["index"],
        "uuid": uuid if uuid.startswith("GPU-") else "",
        "name": _text(element, "product_name") or "unknown",
        "memory_total_mib": _number(total) or 0,
        "memory_used_mib": _number(_memory(element, "used")) or 0,
        "utilisation": _share(_text(element, "utilization/gpu_util")),
        "temperature_c": _number(_text(element, "temperature/gpu_temp")),
        "fault": fault,
        "mig": [{key: device[key] for key in device if key != "place"} for device in mig],
        "processes": [_process(info, mig, people) for info in element.iter("process_info")],
    }


def _lost(index: Optional[int], fault: str) -> Gpu:
    nothing: Gpu = {"uuid": "", "name": "unknown", "memory_total_mib": 0, "memory_used_mib": 0}
    nothing.update(utilisation=None, temperature_c=None, mig=[], processes=[])
    return {"index": index, "fault": fault.strip(), **nothing}


def _instance(device: ElementTree.Element, uuids: Dict[str, Any]) -> Dict[str, Any]:
    uuid, name = uuids.get(_text(device, "index"), ("", "MIG"))
    return {
        "uuid": uuid,
        "name": name,
        "memory_total_mib": _number(_memory(device, "total")) or 0,
        "memory_used_mib": _number(_memory(device, "used")) or 0,
        "place": (_text(device, "gpu_instance_id"), _text(device, "compute_instance_id")),
    }


def _process(info: ElementTree.Element, mig: List[Dict[str, Any]], people: Dict[int, Dict[str, Any]]) -> Dict[str, Any]:
    pid = _number(_text(info, "pid")) or 0
    place = (_text(info, "gpu_instance_id"), _text(info, "compute_instance_id"))
    owner = people.get(pid, {"user": None, "since": None, "command": None})
    return {
        "pid": pid,
        "memory_mib": _number(_text(info, "used_memory")),
        "name": _text(info, "process_name"),
        "graphics": _text(info, "type") == "G",  # a display, which leaves the GPU free for computing
        "mig": next((device["uuid"] for device in mig if device["place"] == place), None),
        **owner,
    }


def _people(owners: str) -> Dict[int, Dict[str, Any]]:
    """User, start and command by process id, from the lines of ps."""
    lines = re.findall(r"^ *(\d+) +(.+?) +(\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}) (.*)$", owners, re.MULTILINE)
    return {
        int(pid): {
            "user": user,
            "since": float(calendar.timegm(time.strptime(since, "%a %b %d %H:%M:%S %Y"))),
            "command": command.strip(),
        }
        for pid, user, since, command in lines
    }


def _listed(listing: str) -> Dict[str, Dict[str, Any]]:
    """Index and MIG instances by the UUID of a GPU, from the lines of `nvidia-smi -L`."""
    found: Dict[str, Dict[str, Any]] = {}
    instances: Dict[str, Any] = {}
    for line in listing.splitlines():
        whole = re.match(r"GPU (\d+): .*\(UUID: (\S+)\)", line)
        part = re.match(r"\s+(MIG \S+)\s+Device\s+(\d+): \(UUID: (\S+)\)", line)
        if whole:
            instances = {}
            found[whole[2]] = {"index": int(whole[1]), "mig": instances}
        elif part:
            instances[part[2]] = (part[3], part[1])
    return found


def _element(block: str) -> Optional[ElementTree.Element]:
    # Names of processes come as they are, with signs and bytes that XML forbids.
    clean = re.sub(
        r"(<process_name>)(.*?)(</process_name>)",
        lambda name: name[1] + escape(re.sub(r"[^\x20-\ufffd]", "?", unescape(name[2]))) + name[3],
        block,
        flags=re.DOTALL,
    )
    try:
        return ElementTree.fromstring(clean)
    except ElementTree.ParseError:
        return None


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _memory(element: ElementTree.Element, key: str) -> str:
    return _text(element, "fb_memory_usage/" + key) or _text(element, "memory_usage/" + key)


def _number(text: str) -> Optional[int]:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else None


def _share(text: str) -> Optional[float]:
    number = _number(text)
    return None if number is None else number / 100


def _failure(said: str, code: int) -> str:
    """What is wrong with the driver, in one sentence with what to do."""
    if code == 124:
        return "nvidia-smi on the server does not answer, so its driver hangs; ask who runs the server to reboot it."
    for words, sentence in _FAILURES:
        if words in said:
            return sentence
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("<")]
    reason = lines[-1].rstrip(".") if lines else "exit code {}".format(code)
    return "nvidia-smi on the server fails ({}); ask who runs the server.".format(reason)


_FAILURES = (
    (
        "version mismatch",
        "The NVIDIA driver of the server was updated while the old one is still loaded (driver/library version "
        "mismatch); ask who runs the server to reboot it.",
    ),
    (
        "communicate with the NVIDIA driver",
        "The NVIDIA driver of the server is not loaded, so nvidia-smi cannot reach it; ask who runs the server to load "
        "it or to install the driver for this kernel.",
    ),
    (
        "libnvidia-ml",
        "The server has nvidia-smi but not the driver's library (libnvidia-ml.so); ask who runs it to install the "
        "driver whole.",
    ),
    (
        "Failed to initialize NVML: Unknown Error",
        "The server, or the container it is, has lost its access to the NVIDIA driver (NVML: Unknown Error); start the "
        "container again, or ask who runs the server.",
    ),
    (
        "Insufficient Permissions",
        "This account may not use the GPUs of the server (Insufficient Permissions); ask who runs it for access to "
        "/dev/nvidia*.",
    ),
    (
        "No devices were found",
        "The server has an NVIDIA driver, but no GPU that it shows to this account; on a cluster, GPUs are there only "
        "within a job.",
    ),
    ("device handle", "No GPU of the server answers its driver; ask who runs the server to reboot it."),
)
