"""Which function makes which kind.

All draws but those that make the kind follow one distribution, so that no confound tells it.
"""

from collections.abc import Callable

import numpy as np

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.attacks.faces import live, mouthing, shifted, spliced, swapped_mouth
from vivavoce.simulate.attacks.jamming import probe_absent, probe_jammed
from vivavoce.simulate.attacks.replays import recorded_ultrasound, replay_handheld, replay_moving, replay_stand, tts
from vivavoce.simulate.attacks.take import Take
from vivavoce.simulate.posture import Posture

KINDS: dict[Kind, Callable[[Take], np.ndarray]] = {
    Kind.LIVE: live,
    Kind.REPLAY_STAND: replay_stand,
    Kind.REPLAY_HANDHELD: replay_handheld,
    Kind.REPLAY_MOVING: replay_moving,
    Kind.SWAPPED_MOUTH: swapped_mouth,
    Kind.SHIFTED: shifted,
    Kind.MOUTHING: mouthing,
    Kind.RECORDED_ULTRASOUND: recorded_ultrasound,
    Kind.TTS: tts,
    Kind.SPLICED: spliced,
    Kind.PROBE_ABSENT: probe_absent,
    Kind.PROBE_JAMMED: probe_jammed,
}

# Kinds that always play through a loudspeaker; `spliced` does so now and then.
PLAYED = (
    *(Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.REPLAY_MOVING, Kind.SWAPPED_MOUTH),
    *(Kind.MOUTHING, Kind.RECORDED_ULTRASOUND, Kind.TTS),
)

# Kinds whose physics fixes how the phone is held; the others take the session's posture.
POSTURES: dict[Kind, Posture] = {
    Kind.REPLAY_STAND: "stand",
    Kind.REPLAY_HANDHELD: "handheld",
    Kind.RECORDED_ULTRASOUND: "stand",
}
