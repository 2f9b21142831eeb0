"""Thresholds of the audit, in one place where a user may change them."""

from pydantic import BaseModel, ConfigDict, Field

from vivavoce.audio import MAX_DURATION_S
from vivavoce.audit.confounds import LEAST_AUC
from vivavoce.audit.duplicates import SIMILAR


class AuditConfig(BaseModel):
    """From where on a check speaks; the defaults say nothing of clean recordings of read speech."""

    model_config = ConfigDict(extra="forbid")

    skip: tuple[str, ...] = Field(default=(), description="names of checks to leave out")
    # Verification refuses less than half a second (`verifier.MIN_TEST_S`); a login phrase never lasts a minute.
    min_duration_s: float = Field(default=0.5, ge=0, description="a shorter recording is too short, s")
    max_duration_s: float = Field(default=60.0, gt=0, le=MAX_DURATION_S, description="a longer one is too long, s")
    # As much as reading forgives (`audio.SPAN_TOLERANCE_S`): time stamps are rounded.
    duration_tolerance_s: float = Field(default=0.05, ge=0, description="manifest against decoded length, s")
    # Ten codes of 16 bits: the microphone was muted or unplugged.
    silent_peak_dbfs: float = Field(default=-70.0, le=0, description="a lower peak is silence, dBFS")
    # Single loud samples are harmless; one in a thousand is audible, and one in a hundred is refused by `verify`.
    max_clipped: float = Field(default=0.001, ge=0, le=1, description="share of clipped samples that is tolerated")
    # 1 % of full scale; a sound card's own offset is ten times less.
    max_dc: float = Field(default=0.01, ge=0, le=1, description="largest mean of the samples, full scale 1")
    # Speech recorded for recognition lies at -30 to -20 dBFS; at -60, quantisation to 16 bits is only 40 dB below it.
    min_active_dbfs: float = Field(default=-60.0, le=0, description="lowest level of speech in the voice band, dBFS")
    max_edge_silence_s: float = Field(default=2.0, ge=0, description="silence before or after speech, s")
    # A speaker with ten times the median of recordings is what the sampler sees most.
    max_speaker_ratio: float = Field(default=10.0, ge=1, description="most recordings of a speaker / the median")
    min_speaker_recordings: int = Field(default=2, ge=1, description="a speaker with fewer cannot be a target trial")
    # A class with under 2 % hardly shows up in a batch of 64.
    min_kind_share: float = Field(default=0.02, ge=0, le=1, description="smallest share of a kind")
    # Chance is 0.5: see `audit.confounds`.
    min_confound_auc: float = Field(default=LEAST_AUC, ge=0.5, le=1, description="AUC of live/attack from one nuisance")
    # As `signal.probe`: the lips' echo, -26 dBc, must stay above the noise of its band; a few codes of 16 bits.
    min_probe_snr_db: float = Field(default=30.0, description="lowest SNR of the median tone, dB")
    min_tone_snr_db: float = Field(default=10.0, description="lowest SNR of any tone, dB")
    min_probe_dbfs: float = Field(default=-80.0, le=0, description="lowest level of the median tone, dBFS")
    # Noise of -60 dBc/Hz, the worst phone, fills 2.5 kHz with -26 dBc.
    max_between_dbc: float = Field(default=-20.0, description="power between the tones re the tones, dB")
    # A phone that hears itself has one clock (0.03 Hz at 20 kHz = 1.5 ppm); a second device's is 20 to 50 ppm away.
    max_clock_ppm: float = Field(default=10.0, gt=0, description="clock offset of a live recording, ppm")
    # Where copies part from other takes of one sentence: see `audit.duplicates`.
    min_similarity: float = Field(default=SIMILAR, gt=0, le=1, description="least similarity of fingerprints of copies")
