"""A stand-in for nvidia-smi that prints what one recorded; see nvidia/README.md."""

import re
import shlex
from pathlib import Path

from vivavoce.server.remote import nvidia

from .sshd import Sshd

SAMPLES = Path(__file__).parent / "nvidia"


def sample(name: str) -> str:
    """Text of a sample; empty where there is none of that name."""
    path = SAMPLES / name
    return path.read_text() if path.exists() else ""


def recorded(name: str) -> list[nvidia.Gpu]:
    """The GPUs of a sample."""
    return nvidia.parse(sample(f"{name}.xml"), sample(f"{name}.txt"), sample(f"{name}.owners.txt"))


def program(query: str, listing: str = "", code: int = 0) -> str:
    """A shell program that answers `-L` and `-q -x` with these texts, and other questions by what is in them."""
    driver, cuda = (re.search(f"<{key}>(.*?)</{key}>", query) for key in ("driver_version", "cuda_version"))
    names = re.findall("<product_name>(.*?)</product_name>", query)
    rows = "".join(f"{driver[1] if driver else ''}, {name}\n" for name in names)
    answers = {
        "-L": listing,
        "--query-gpu=driver_version,name*": rows or query,
        "": f"| NVIDIA-SMI    CUDA Version: {cuda[1]} |\n" if cuda else query,
        "*": query,
    }
    cases = "".join(f"{word or chr(39) * 2}) printf %s {shlex.quote(text)} ;;\n" for word, text in answers.items())
    return f'#!/bin/sh\ncase "$*" in\n{cases}esac\nexit {code}\n'


def install(sshd: Sshd, name: str, **processes: int) -> None:
    """Let the account find an nvidia-smi that prints a sample, with other process ids in place of the recorded ones."""
    query = sample(f"{name}.xml")
    for recorded_pid, pid in processes.items():
        query = query.replace(recorded_pid.strip("_"), str(pid))
    sshd.program("nvidia-smi", program(query, sample(f"{name}.txt")))
