"""Fixtures that every room may use."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import settings

from .tiny import Tiny, make_tiny

MakeWav = Callable[..., Path]

# The same examples in every run: a red run can be repeated, and a busy machine turns none red.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real recordings beside the repository, or a skip where they are absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real recordings (../shared/data) are not here")
    return folder


@pytest.fixture
def make_wav(tmp_path: Path) -> MakeWav:
    """A function that writes a small speech-like sound file below ``tmp_path`` and returns its path.

    The sound is a voiced tone complex (pitch ``f0_hz``) with syllables at 4 Hz and some noise; the suffix of the name
    chooses the format. Other channels than the first are quieter copies.
    """

    def write(
        name: str = "a.wav",
        seconds: float = 2.0,
        rate: int = 48_000,
        *,
        channels: int = 1,
        f0_hz: float = 140.0,
        level: float = 0.1,
        seed: int = 0,
        subtype: str | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        time_s = np.arange(round(seconds * rate)) / rate
        harmonics = np.arange(1, max(2, int(min(4000.0, rate / 2.2) / f0_hz)))
        voice = (np.sin(2 * np.pi * f0_hz * harmonics * time_s[:, None]) / harmonics).sum(axis=1)
        syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4.0 * time_s)
        noise = np.random.default_rng(seed).normal(size=len(time_s))
        wave = level * syllables * (voice / 2 + 0.1 * noise)
        shaped = wave[:, None] * 0.5 ** np.arange(channels)
        sf.write(path, shaped if channels > 1 else wave, rate, subtype=subtype)
        return path

    return write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A small corpus with a run trained on it through the command line; tests must not change it."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


class SmallDisk:
    """Mounts a file system of a few kilobytes; skips where that is not allowed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, kilobytes: int) -> Path:
        self.path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(self.path)]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            mounted = False
        if not mounted:
            pytest.skip("mounting a small disk is not allowed here")
        return self.path

    def resize(self, kilobytes: int) -> None:
        """Give the disk another size; what is on it stays."""
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(self.path)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A function that gives a folder on a disk of so many kilobytes."""
    disk = SmallDisk(tmp_path / "small-disk")
    yield disk
    if disk.path.is_mount():
        subprocess.run(["umount", str(disk.path)], check=True)
