"""Why a recording gets no liveness answer, in words: the cause, a label for tables, and what the user should do."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a recording gets no liveness answer, in the order in which they are asked."""

    NO_BAND = "the sample rate holds no ultrasound band"
    ABSENT = "no probe in the recording"
    WRONG_NONCE = "the tones in the recording are not those of its probe"
    CLIPPED = "the recording is clipped"
    SECOND_PROBE = "a second, foreign set of tones sounds beside the probe"
    JAMMED = "other ultrasound drowns the probe"
    WEAK = "the probe is too weak"
    SPEECH = "there is too little speech"
    FAR = "the face is too far away to be seen"
    MOVING = "the phone moves too much"

    @property
    def label(self) -> str:
        """A word or two, for tables."""
        return _LABELS[self]

    @property
    def advice(self) -> str:
        """One sentence to the user: what to do."""
        return _ADVICE[self]


_LABELS = {
    Reason.NO_BAND: "no ultrasound band",
    Reason.ABSENT: "absent",
    Reason.WRONG_NONCE: "wrong nonce",
    Reason.CLIPPED: "clipped",
    Reason.SECOND_PROBE: "second probe",
    Reason.JAMMED: "jammed",
    Reason.WEAK: "weak",
    Reason.SPEECH: "too little speech",
    Reason.FAR: "too far",
    Reason.MOVING: "hold still",
}
_ADVICE = {
    Reason.NO_BAND: "Record at 48 kHz, without a codec.",
    Reason.ABSENT: "Turn the media volume up, take the headphones off, and try again.",
    Reason.WRONG_NONCE: "Record again now; only a recording of this session counts.",
    Reason.CLIPPED: "Speak a little softer, or hold the phone a little farther away.",
    Reason.SECOND_PROBE: "Turn off other devices that play sound nearby, and try again.",
    Reason.JAMMED: "Go away from other devices that play sound, and try again.",
    Reason.WEAK: "Turn the media volume up, uncover the loudspeaker, and try again.",
    Reason.SPEECH: "Say the whole sentence in your normal voice.",
    Reason.FAR: "Hold the phone closer to your mouth, about a hand's width away.",
    Reason.MOVING: "Hold the phone still while you speak.",
}


# In the order in which they are asked, as tables name them.
REASONS = tuple(reason.label for reason in Reason)
_KNOWN = {reason.value for reason in Reason}


def label_of(reason: str) -> str:
    """Return the short name of a reason, or the reason itself where it has none."""
    return Reason(reason).label if reason in _KNOWN else reason


def advice_of(reason: str) -> str:
    """Return what the user should do about a reason; empty where nothing is known."""
    return Reason(reason).advice if reason in _KNOWN else ""
