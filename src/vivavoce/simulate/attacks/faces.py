"""Kinds in which a living mouth moves before the phone: the live recording, and attacks whose words are another's."""

import numpy as np

from vivavoce.simulate.attacks.replays import caught
from vivavoce.simulate.attacks.scenes import mouth, mouth_beside
from vivavoce.simulate.attacks.splicing import replaced_words
from vivavoce.simulate.attacks.take import Take, at_phone
from vivavoce.simulate.loudspeaker import play


def live(take: Take) -> np.ndarray:
    """A living mouth speaks in front of the phone, which plays its probe; (samples,) int16 at 48 kHz."""
    return at_phone(take, take.voice, mouth)


def shifted(take: Take) -> np.ndarray:
    """A mouth says the same words, too early or too late.

    By 120–1000 ms of either sign (`attack.shift_ms`). The voice takes the path of a live one, as from a perfect
    loudspeaker: only time tells this kind from `live`.
    """
    return at_phone(take, take.voice, mouth)


def swapped_mouth(take: Take) -> np.ndarray:
    """A loudspeaker beside replays the voice while a living mouth before the phone says something else.

    The other utterance begins −100 to 150 ms after the voice (`attack.mouth_delay_s`) and is as often the target's own
    as another speaker's (`attack.same_speaker_share`); the loudspeaker stands 8–25 cm beside the mouth.
    """
    loudspeaker = take.drawn_loudspeaker()
    return at_phone(take, play(loudspeaker, caught(take)), mouth_beside(loudspeaker), loudspeaker)


def mouthing(take: Take) -> np.ndarray:
    """An attacker silently mouths along with the replayed voice: the same words, by another mouth, behind the voice.

    The attacker has a face and an articulation of its own. The mouth follows by a lag of 50–300 ms drawn for the
    recording (reaction to a voice that one knows; speech shadowing lags by 150–250 ms, Marslen-Wilson 1973), each phone
    strays by 20–60 ms (standard deviation), and the tempo drifts by 10–80 ms RMS below 0.5 Hz (`attack.mouthing_*`;
    `vivavoce.simulate.attacks.mouthing`). The loudspeaker stands 8–25 cm beside the mouth.
    """
    return swapped_mouth(take)


def spliced(take: Take) -> np.ndarray:
    """Part of the words is replaced: the mouth goes on with the original words, all else is live.

    In a span of 0.5–1.5 s (`attack.splice_s`, at most 60 % of the voice) the voice is another utterance of the same
    speaker, level-matched over the span and joined by cross-fades of 10–20 ms. In half of the recordings
    (`attack.splice_played_share`) it has gone through a recorder and a loudspeaker, else it was edited in. Metadata:
    ``splices``, ``loudspeaker``.
    """
    if take.other is None:
        raise ValueError(f"{take.id}: spliced words need a second voice.")
    return at_phone(take, replaced_words(take), mouth)
