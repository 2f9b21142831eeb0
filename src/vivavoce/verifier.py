"""A trained run as an object: enrol a speaker, verify a recording."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from vivavoce.audio import check_speech, read_audio
from vivavoce.config import ExperimentConfig
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.observing import measures_of_wave
from vivavoce.evaluation.calibration.parts import Calibration
from vivavoce.evaluation.localise import segments
from vivavoce.evaluation.ranges import range_notes
from vivavoce.evaluation.running import RunningVerdict, SequentialTest, decide_together
from vivavoce.evaluation.verdict import Evidence, Verdict, decide, ratios
from vivavoce.experiment import build_model
from vivavoce.features.accelerometer import Sensor, accelerometer_of
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
    config = load_settings(ExperimentConfig, folder.config, folder.unsaid())
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
            UserError: a recording cannot be used or holds less than 1 s, or the run knows no speakers.
        """
        if self.run.calibration.speaker is None:
            raise UserError(
                f"{self.run.folder.path} was trained without the speaker task and compares nobody; verify without "
                "enrolling."
            )
        if not recordings:
            raise UserError("No recording to enrol with was given; give one or more, three are usual.")
        waves = [self._read(path, channel, None, MIN_ENROLMENT_S, "enrolment") for path in recordings]
        embeddings = torch.stack([self._embed(voice) for voice, _ in batch_features(self.run.front_end, waves)])
        enrolled = Verifier(self.run)
        enrolled.enrolment = functional.normalize(embeddings.mean(dim=0), dim=0)
        return enrolled

    def verify(
        self,
        recording: Path | str,
        channel: int | None = 0,
        probe_hz: tuple[float, ...] | None = None,
        prior: float = 0.5,
        conditions: Mapping[str, str] | None = None,
    ) -> Verdict:
        """Judge one recording against the enrolled speaker.

        Args:
            recording: a sound file.
            channel: of a file with several; ``None`` takes their mean.
            probe_hz: the tones that the phone was told to play, Hz; ``None`` takes the tones found in the recording,
                which cannot tell an old probe from this session's.
            prior: how likely each question is answered yes beforehand; see `decide`.
            conditions: ``posture`` and ``device`` of the recording, where the phone knows them: a run calibrated by
                one of them takes the scores accordingly.

        Raises:
            UserError: nobody is enrolled, or the recording cannot be used.
        """
        self._check_enrolment()
        return self.judge(self._read(recording, channel, probe_hz, MIN_TEST_S, "test"), prior, conditions)

    def verify_together(
        self,
        recordings: Sequence[Path | str],
        channel: int | None = 0,
        probe_hz: tuple[float, ...] | None = None,
        test: SequentialTest | None = None,
        conditions: Mapping[str, str] | None = None,
    ) -> RunningVerdict:
        """Judge recordings of one person together, in their order, until enough is known.

        Args:
            recordings: sound files; more may be added and all be given again while the verdict is to abstain.
            channel: of files with several; ``None`` takes their mean.
            probe_hz: the tones that the phone was told to play, Hz; ``None`` takes those found in each recording.
            test: error rates to stay under; ``None``: 1 % false accepts and 5 % false rejects, with the correlation of
                one speaker's recordings that the validation split showed.
            conditions: ``posture`` and ``device`` of the recordings, where the phone knows them; see `verify`.

        Raises:
            UserError: nobody is enrolled, no recording is given or one cannot be used, or the run knows no liveness.
        """
        self._check_enrolment()
        if not recordings:
            raise UserError("No recording to judge was given; give one or more.")
        if self.run.calibration.liveness is None:
            raise UserError(f"{self.run.folder.path} was trained without liveness, so recordings are never enough.")
        waves = [self._read(path, channel, probe_hz, MIN_TEST_S, "test") for path in recordings]
        calibration = self.run.calibration
        found = [self._evidence(wave)._replace(conditions=conditions or {}) for wave in waves]
        return decide_together(
            [decide(evidence, calibration) for evidence in found],
            [ratios(evidence, calibration) for evidence in found],
            calibration,
            test or SequentialTest(correlation=self.run.calibration.liveness.correlation),
        )

    def judge(self, wave: Wave, prior: float = 0.5, conditions: Mapping[str, str] | None = None) -> Verdict:
        """Judge a recording that is already in memory.

        Raises:
            UserError: nobody is enrolled.
        """
        self._check_enrolment()
        self.run.model.reset_out_of_range()
        evidence = self._evidence(wave)._replace(conditions=conditions or {})
        verdict = decide(evidence, self.run.calibration, prior)
        return verdict.model_copy(update={"notes": [*range_notes(self.run.model.out_of_range), *verdict.notes]})

    def _check_enrolment(self) -> None:
        if self.run.calibration.speaker is not None and self.enrolment is None:
            raise UserError("Nobody is enrolled yet; call enrol([...]) first and verify with what it returns.")

    def _evidence(self, wave: Wave) -> Evidence:
        """Scores of one recording, and the spans in it that do not belong."""
        ((voice, echo),) = batch_features(self.run.front_end, [wave])
        speaker = float(self._embed(voice) @ self.enrolment) if self.enrolment is not None else float("nan")
        seconds = len(wave.samples) / wave.rate
        calibration = self.run.calibration.liveness
        measures = measures_of_wave(wave.samples, wave.rate, self.run.calibration.measures)
        if not wave.quality.usable or calibration is None:
            return Evidence(speaker, float("nan"), wave.quality, seconds, measures=measures)
        with torch.inference_mode():
            judged = self.run.model.liveness(voice[None], echo[None])
        threshold = calibration.segment_threshold
        found = [] if threshold is None else segments(judged.frames[0].numpy(), threshold)
        return Evidence(speaker, float(judged.utterance[0]), wave.quality, seconds, found, measures=measures)

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
        beside = accelerometer_of(Path(path))
        sensor = Sensor(beside) if beside.exists() else None
        return prepare_wave(np.ascontiguousarray(samples), rate, probe_hz, sensor)
