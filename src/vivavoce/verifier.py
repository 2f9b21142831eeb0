"""A trained run as an object: enrol a speaker, verify a recording."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from vivavoce.audio import check_speech, read_audio
from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration import Calibration
from vivavoce.evaluation.ranges import range_notes
from vivavoce.evaluation.verdict import Evidence, Verdict, decide
from vivavoce.experiment import build_model
from vivavoce.features.front_end import FrontEnd, Wave, batch_features, prepare_wave
from vivavoce.models.joint import JointModel
from vivavoce.settings import load_settings
from vivavoce.training.checkpoint import load_weights
from vivavoce.training.run_folder import RunFolder

# Less speech than this does not tell a speaker (nor would anyone trust it to).
MIN_ENROLMENT_S = 1.0
MIN_TEST_S = 0.5


@dataclass(frozen=True)
class LoadedRun:
    """All of a run that answers questions."""

    folder: RunFolder
    config: ExperimentConfig
    model: JointModel
    front_end: FrontEnd
    calibration: Calibration


def load_run(path: Path | str) -> LoadedRun:
    """Load a run folder.

    Raises:
        UserError: the folder is missing, is no run, or its files do not belong together.
    """
    folder = RunFolder.open(Path(path))
    config = load_settings(ExperimentConfig, folder.config)
    model = build_model(config)
    load_weights(model, folder.best_weights)
    return LoadedRun(folder, config, model.eval(), config.front_end.build().eval(), folder.read_calibration())


class Verifier:
    """Answers the two questions for one recording: who is speaking, and is a living mouth saying these words now?

    Example:
        >>> verifier = Verifier.load("runs/first")                          # doctest: +SKIP
        >>> verifier.enrol(["a.wav", "b.wav", "c.wav"]).verify("d.wav")     # doctest: +SKIP
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.enrolment: torch.Tensor | None = None

    @classmethod
    def load(cls, path: Path | str) -> "Verifier":
        """Load the run folder that `vivavoce train` wrote.

        Raises:
            UserError: the folder is no finished run.
        """
        return cls(load_run(path))

    def enrol(self, recordings: Sequence[Path | str], channel: int | None = 0) -> "Verifier":
        """Return a verifier that knows this speaker: the mean of the recordings' embeddings.

        Raises:
            UserError: a recording cannot be used, or holds less than 1 s.
        """
        if not recordings:
            raise UserError("No recording to enrol with was given; give one or more, three are usual.")
        waves = [self._read(path, channel, None, MIN_ENROLMENT_S, "enrolment") for path in recordings]
        embeddings = torch.stack([self._embed(voice) for voice, _ in batch_features(self.run.front_end, waves)])
        enrolled = Verifier(self.run)
        enrolled.enrolment = functional.normalize(embeddings.mean(dim=0), dim=0)
        return enrolled

    def verify(
        self, recording: Path | str, channel: int | None = 0, probe_hz: tuple[float, ...] | None = None
    ) -> Verdict:
        """Judge one recording against the enrolled speaker.

        Args:
            recording: a sound file.
            channel: of a file with several; ``None`` takes their mean.
            probe_hz: the tones that the phone was told to play, Hz; ``None`` takes the tones found in the recording,
                which cannot tell an old probe from this session's.

        Raises:
            UserError: nobody is enrolled, or the recording cannot be used.
        """
        return self.judge(self._read(recording, channel, probe_hz, MIN_TEST_S, "test"))

    def judge(self, wave: Wave) -> Verdict:
        """Judge a recording that is already in memory.

        Raises:
            UserError: nobody is enrolled.
        """
        if self.enrolment is None:
            raise UserError("Nobody is enrolled yet; call enrol([...]) first and verify with what it returns.")
        ((voice, echo),) = batch_features(self.run.front_end, [wave])
        self.run.model.reset_out_of_range()
        speaker = float(self._embed(voice) @ self.enrolment)
        liveness = float("nan")
        if wave.quality.usable:
            with torch.inference_mode():
                liveness = float(self.run.model.liveness(voice[None], echo[None]).utterance[0])
        verdict = decide(Evidence(speaker, liveness, wave.quality), self.run.calibration)
        return verdict.model_copy(update={"notes": range_notes(self.run.model.out_of_range)})

    def _embed(self, voice: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.run.model.embed(voice[None])[0]

    def _read(
        self, path: Path | str, channel: int | None, probe_hz: tuple[float, ...] | None, shortest_s: float, role: str
    ) -> Wave:
        samples, rate = read_audio(path, channel=channel)
        check_speech(samples, rate, str(path))
        seconds = len(samples) / rate
        if seconds < shortest_s:
            raise UserError(
                f"The {role} recording {path} is {seconds:.2f} s long; at least {shortest_s:g} s are needed, so record "
                "it again."
            )
        return prepare_wave(np.ascontiguousarray(samples), rate, probe_hz)
