"""Batches spread evenly over speakers: P speakers with K recordings each, or as evenly as a batch can be."""

from typing import Literal

import numpy as np
from pydantic import Field

from vivavoce.corpus.sampling.base import BatchSpec, PlannedSampler, PlannedSamplerConfig
from vivavoce.corpus.sampling.even import even_stream, members_in_turn
from vivavoce.corpus.sampling.items import Items
from vivavoce.errors import UserError


class SpeakerBalancedConfig(PlannedSamplerConfig):
    """Speakers alike often, however many recordings each has."""

    type: Literal["speaker_balanced"] = "speaker_balanced"
    speakers: int | None = Field(
        default=None, ge=1, description="P, speakers of a batch; with neither P nor K: each once before any twice"
    )
    recordings: int | None = Field(default=None, ge=1, description="K, recordings of each speaker of a batch")
    batches: int | None = Field(default=None, ge=1, description="batches an epoch; None: as many as recordings fill")

    def sampler(self, items: Items, spec: BatchSpec) -> "SpeakerBalancedSampler":
        """Make the sampler."""
        numbers = np.unique(items.speakers, return_inverse=True)[1]
        batches = self.batches or max(1, len(items) // spec.batch)
        return SpeakerBalancedSampler(numbers, self._recordings(spec.batch, int(numbers.max()) + 1), batches, spec)

    def _recordings(self, batch: int, present: int) -> int | None:
        if self.speakers is None and self.recordings is None:
            return None
        speakers = self.speakers or batch // (self.recordings or 1)
        recordings = self.recordings or batch // speakers
        if speakers * recordings != batch:
            raise UserError(
                f"{speakers} speakers with {recordings} recordings each do not make a batch of {batch}; "
                "choose numbers whose product is the batch."
            )
        if speakers > present:
            raise UserError(
                f"A batch needs {speakers} speakers, but there are only {present}; lower the speakers of a batch, or "
                "give neither speakers nor recordings, so that a batch is spread over those there are."
            )
        return recordings


class SpeakerBalancedSampler(PlannedSampler):
    """P×K batches (Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", §2).

    All speakers come once before any comes again, and each speaker's recordings in turn: none is twice in a batch
    unless its speaker has too few, and quiet speakers' recordings come more often in an epoch than talkative ones'.
    With K given, the K recordings of a speaker stand together, so that ranks share out whole speakers where P divides.
    """

    def __init__(self, speakers: np.ndarray, recordings: int | None, batches: int, spec: BatchSpec) -> None:
        """Take (items,) speaker numbers from 0 up, and K; None: each speaker once before any twice."""
        super().__init__(spec)
        self.speakers = speakers
        self.recordings = recordings
        self.batches = batches

    def order(self, epoch: int) -> np.ndarray:
        """Items of an epoch, batch after batch; (batches * batch,) int64."""
        rng = self.generator(epoch)
        each = self.recordings or 1
        sizes = np.full(self.batches, self.spec.batch // each)
        chosen = np.repeat(even_stream(rng, int(self.speakers.max()) + 1, sizes), each)
        return members_in_turn(rng, self.speakers, chosen)
