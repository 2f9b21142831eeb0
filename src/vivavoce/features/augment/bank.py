"""Sounds that an augmentation takes from a folder of the user's: chosen once, read at the first use, kept in memory."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vivavoce.audio import SUFFIXES, audio_info, read_audio
from vivavoce.errors import UserError
from vivavoce.signal.framing import VOICE_RATE_HZ as RATE_HZ

# Noise that a bank keeps, in seconds of 16 kHz float32: 38 MB in each process; more adds little variety to a run
# that draws anew from it for every recording.
BANK_S = 600.0
LONGEST_S = 30.0  # of one file, so that a long one does not fill the bank alone


class Rereads:
    """Something whose cached properties stay behind when it is sent to another process, which makes them anew."""

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the cached properties."""
        return {k: v for k, v in self.__dict__.items() if not isinstance(getattr(type(self), k, None), cached_property)}


def sound_files(folder: Path, what: str) -> list[Path]:
    """List the sound files at any depth below ``folder``, in the order of their paths.

    Raises:
        UserError: there is no such folder, or no wav, flac or ogg file in it; ``what`` says whose folder it is.
    """
    if not folder.is_dir():
        raise UserError(f"The {what} folder {folder} does not exist; correct its path.")
    inside = sorted(Path(path, name) for path, _, names in os.walk(folder, followlinks=True) for name in names)
    found = [path for path in inside if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not found:
        raise UserError(f"The {what} folder {folder} holds no wav, flac or ogg files; correct its path.")
    return found


class Bank(Rereads):
    """Sounds of a folder at 16 kHz; the files are listed when it is made and read when it is first used.

    Where a folder holds more than ``seconds``, a fixed random choice of its files is kept, the same in every process.

    Raises:
        UserError: no such folder, no sound files in it; at the first use, a file that cannot be read.
    """

    def __init__(self, folder: Path, what: str, seconds: float = BANK_S, longest_s: float = LONGEST_S) -> None:
        self.folder, self.what = folder, what
        self.seconds, self.longest_s = seconds, longest_s
        self.files = sound_files(folder, what)

    @cached_property
    def chosen(self) -> list[Path]:
        """The files that fit into the bank, at least one."""
        order = np.random.default_rng(0).permutation(len(self.files))
        kept, left_s = [], self.seconds
        for index in order:
            left_s -= min(audio_info(self.files[index]).duration_s, self.longest_s)
            if left_s < 0 and kept:
                break
            kept.append(self.files[index])
        return sorted(kept)

    @cached_property
    def sounds(self) -> dict[Path, np.ndarray]:
        """Each chosen file's channels averaged, at 16 kHz, ``(samples,)`` float32, those of silence left out."""
        sounds = {path: self._read(path) for path in self.chosen}
        sounds = {path: samples for path, samples in sounds.items() if np.square(samples).mean() > 0}
        if not sounds:
            raise UserError(f"Every file of the {self.what} folder {self.folder} is silent; name another folder.")
        return sounds

    def fingerprint(self) -> str:
        """Return a hash of the content of the chosen files."""
        digest = hashlib.sha256()
        for path in self.chosen:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _read(self, path: Path) -> np.ndarray:
        import soxr

        samples, rate = read_audio(path, channel=None, duration_s=min(audio_info(path).duration_s, self.longest_s))
        if rate != RATE_HZ:
            samples = np.asarray(soxr.resample(samples, rate, RATE_HZ))
        return samples.astype(np.float32, copy=False)


class Clips:
    """Clips of different lengths in one flat tensor on the device that asks for them, gathered as a batch."""

    def __init__(self, clips: list[np.ndarray]) -> None:
        self.lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self._flat = {torch.device("cpu"): torch.from_numpy(np.concatenate(clips))}

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.lengths)

    def gather(self, clips: np.ndarray, offsets: np.ndarray, size: int, device: torch.device) -> Tensor:
        """Return ``(batch, size)``: clip ``clips[i]`` from sample ``offsets[i]`` on, again and again."""
        if device not in self._flat:
            self._flat[device] = self._flat[torch.device("cpu")].to(device)
        place = torch.from_numpy(offsets).to(device)[:, None] + torch.arange(size, device=device)
        place = torch.remainder(place, torch.from_numpy(self.lengths[clips]).to(device)[:, None])
        return self._flat[device][place + torch.from_numpy(self.starts[clips]).to(device)[:, None]]
