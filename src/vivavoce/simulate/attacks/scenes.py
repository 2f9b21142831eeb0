"""What stands before the phone: a mouth, a loudspeaker at rest or in a hand, or both."""

import numpy as np

from vivavoce.simulate.attacks.take import Scene, SceneMaker, Take
from vivavoce.simulate.loudspeaker import Loudspeaker
from vivavoce.simulate.posture import hand_motion
from vivavoce.simulate.recording import FACTOR_RATE_HZ
from vivavoce.simulate.scatter import carried_along, loudspeaker_body, moving_mouth

# Where a loudspeaker that takes the mouth's place is, against the mouth, m (standard deviation an axis).
PLACE_M = 0.01
# A loudspeaker beside an attacker's face stands this far from the mouth, m.
BESIDE_M = (0.08, 0.25)


def mouth(take: Take, times_s: np.ndarray) -> Scene:
    """A face with its moving mouth."""
    if take.face is None or take.motion is None:
        raise ValueError(f"{take.id}: this kind needs a face and its motion.")
    return Scene([moving_mouth(take.face, take.motion, times_s - take.motion_from_s), take.face.static])


def mouth_beside(loudspeaker: Loudspeaker) -> SceneMaker:
    """A face, and a loudspeaker 8–25 cm beside its mouth."""

    def scene(take: Take, times_s: np.ndarray) -> Scene:
        rng = take.rng("place of the loudspeaker")
        angle = rng.uniform(0, 2 * np.pi)
        beside = rng.uniform(*BESIDE_M) * np.array([0, np.sin(angle), np.cos(angle)])
        body = loudspeaker_body(rng, take.config.scatter, loudspeaker.front_m2, beside)
        return Scene([*mouth(take, times_s).reflectors, body], beside[None])

    return scene


def still(loudspeaker: Loudspeaker) -> SceneMaker:
    """A loudspeaker at rest in place of the mouth."""

    def scene(take: Take, times_s: np.ndarray) -> Scene:
        rng = take.rng("place of the loudspeaker")
        place = rng.normal(0, PLACE_M, 3)
        return Scene([loudspeaker_body(rng, take.config.scatter, loudspeaker.front_m2, place)], place[None])

    return scene


def in_hand(loudspeaker: Loudspeaker) -> SceneMaker:
    """A loudspeaker in a hand that tries to keep it still: sway and tremor as of a held phone."""

    def scene(take: Take, times_s: np.ndarray) -> Scene:
        resting = still(loudspeaker)(take, times_s)
        rng = take.rng("hand at the loudspeaker")
        path = hand_motion(rng, take.config.posture, len(times_s), FACTOR_RATE_HZ)
        return Scene([carried_along(body, path) for body in resting.reflectors], resting.cone_m + path)

    return scene
