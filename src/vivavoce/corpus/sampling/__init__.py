"""Which recordings make a batch: samplers that partition over processes and resume exactly in the middle of an epoch.

Each sampler plans an epoch from the seed and the epoch's number alone.
"""

from typing import Annotated

from pydantic import Field

from vivavoce.corpus.sampling.base import BatchSpec, Sampler
from vivavoce.corpus.sampling.items import Items
from vivavoce.corpus.sampling.kind_balanced import KindBalancedConfig, KindBalancedSampler
from vivavoce.corpus.sampling.length_buckets import LengthBucketsConfig, LengthBucketsSampler
from vivavoce.corpus.sampling.random import RandomConfig, RandomSampler
from vivavoce.corpus.sampling.speaker_balanced import SpeakerBalancedConfig, SpeakerBalancedSampler
from vivavoce.corpus.sampling.weighted import WeightedConfig, WeightedSampler

__all__ = [
    "BatchSpec",
    "Items",
    "KindBalancedConfig",
    "KindBalancedSampler",
    "LengthBucketsConfig",
    "LengthBucketsSampler",
    "RandomConfig",
    "RandomSampler",
    "Sampler",
    "SamplerConfig",
    "SpeakerBalancedConfig",
    "SpeakerBalancedSampler",
    "WeightedConfig",
    "WeightedSampler",
]

SamplerConfig = Annotated[
    RandomConfig | WeightedConfig | SpeakerBalancedConfig | KindBalancedConfig | LengthBucketsConfig,
    Field(discriminator="type"),
]
