"""Where the features of training come from."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vivavoce.features.augment import AugmentConfig


class FeaturesConfig(BaseModel):
    """Features computed once and kept (offline), or anew for each batch (online), by the same code.

    Only the training recordings are augmented; validation and evaluation always see them as they are.
    """

    model_config = ConfigDict(extra="forbid")

    mode: Literal["offline", "online"] = Field(
        default="offline", description="offline: from a store on disk; online: from the sound files, batch by batch"
    )
    store: Path | None = Field(
        default=None,
        description="offline: a store that `vivavoce extract` made; none: one is made in the run folder, and made "
        "again when it is stale",
    )
    copies: int = Field(
        default=1, ge=1, description="offline: versions of each recording; the first as it is, the others augmented"
    )
    seed: int | None = Field(
        default=None, ge=0, description="of the augmented copies of a store; none: the experiment's seed"
    )
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="what changes from version to version")
    where: Literal["workers", "device"] = Field(
        default="workers",
        description="online: augment and compute features in worker processes, or on the training device",
    )
    prefetch: int = Field(default=2, ge=1, description="online: batches a worker prepares ahead of the training step")

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> Self:
        """Refuse settings that would silently do nothing."""
        if self.mode == "online":
            kept = {"store": self.store is not None, "copies": self.copies > 1, "seed": self.seed is not None}
            idle = [name for name, given in kept.items() if given]
            if idle:
                raise ValueError(f"{idle[0]} belongs to mode offline; leave it out, or set mode to offline")
            return self
        if self.where == "device" or self.prefetch != type(self).model_fields["prefetch"].default:
            idle = "where" if self.where == "device" else "prefetch"
            raise ValueError(f"{idle} belongs to mode online; leave it out, or set mode to online")
        if self.copies > 1 and self.augment.is_identity:
            raise ValueError("copies would all be the same; switch something on in augment, or set copies to 1")
        if self.copies == 1 and not self.augment.is_identity:
            raise ValueError(
                "augment needs copies of 2 or more offline, since the first copy is the recording as it is; or set "
                "mode to online"
            )
        return self
