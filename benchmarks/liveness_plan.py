"""What the liveness benchmark runs: sizes, conditions, kinds, and the table of trainings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vivavoce.corpus.metadata import Kind
from vivavoce.simulate.attacks.kinds import POSTURES

# The head that is judged in full, on every seed and every front end; `--detector` names another.
DETECTOR = "fused"
DETECTORS = ("ridge", "linear", "lstm", "sync", "attention", "fused")
SEEDS = (0, 1, 2)
# Seconds of the recordings that liveness is judged on, each simulated and read at just that length.
LENGTHS_S = (3, 6)
# Articulations of our own, first the one that is trained on (the simulator's default), and motion that is none of ours.
FAMILIES = ("phonetic", "features", "tasks")
JUDGES = ("measured", "vocaltract")


@dataclass(frozen=True)
class Condition:
    """How the phone is held; the same for every recording of a set."""

    name: str
    posture: str
    distance_cm: float
    sway_mm: float | None = None


STAND10 = Condition("stand 10 cm", "stand", 10)
STAND20 = Condition("stand 20 cm", "stand", 20)
HANDHELD10 = Condition("handheld 10 cm", "handheld", 10, sway_mm=1.0)
CONDITIONS = (STAND10, STAND20, HANDHELD10)
# More than a phone in a calm hand ever moves: here the answer is "hold still".
LARGE_SWAY = Condition("large sway", "handheld", 10, sway_mm=8.0)

# Recordings of each kind per utterance.
Kinds = dict[str, float]
TRAINED_ON: Kinds = {
    **{"live": 1.5, "swapped_mouth": 0.5, "replay_stand": 0.25, "replay_handheld": 0.25},
    **{"shifted": 0.25, "recorded_ultrasound": 0.25},
}
PAIR: Kinds = {"live": 1, "swapped_mouth": 1}
ABSTAINED: Kinds = {"probe_absent": 0.5, "probe_jammed": 0.5}
HELD_OUT: Kinds = {"replay_moving": 1, "tts": 1, "mouthing": 1}
# Thresholds come from the kinds that training sees; the spliced ones set the threshold of single frames.
VALIDATED_ON: Kinds = {**PAIR, "replay_stand": 0.5, "replay_handheld": 0.5, "recorded_ultrasound": 0.5}


def judged_kinds(condition: Condition) -> Kinds:
    """All kinds, those whose physics fixes how the phone is held only where it is the condition's posture."""
    every = {
        **PAIR, "replay_stand": 1.0, "replay_handheld": 1.0, "recorded_ultrasound": 1.0, **HELD_OUT, **ABSTAINED,
    }  # fmt: skip
    return {
        name: count for name, count in every.items()
        if POSTURES.get(Kind(name), condition.posture) == condition.posture
    }  # fmt: skip


SEEN_ATTACKS = (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.SWAPPED_MOUTH, Kind.RECORDED_ULTRASOUND)
PLAYED = (Kind.REPLAY_STAND, Kind.REPLAY_HANDHELD, Kind.REPLAY_MOVING, Kind.TTS)
HELD_OUT_ATTACKS = (Kind.REPLAY_MOVING, Kind.TTS)

# Front ends, each by what it changes of the default. `oracle`: beside each recording lies the phone's true motion, in
# place of what an accelerometer measured.
FRONT_ENDS: Mapping[str, dict[str, Any]] = {
    "default": {},
    "phone motion taken out, known exactly (oracle)": {"compensate": "accelerometer", "oracle": True},
    "tones added up in phase": {"combine": "phase"},
    "magnitude, 80 and 170 ms": {"gradient": False, "velocity": False},
    "gradient alone": {"doppler": False, "velocity": False},
    "velocity alone": {"doppler": False, "gradient": False},
    "gradient of the spectrogram": {"doppler": False, "gradient": False, "velocity": False, "spectrum_gradient": True},
    "phone motion taken out, from the echo": {"compensate": "echo"},
    "phone motion taken out, from an accelerometer": {"compensate": "accelerometer"},
    "magnitude, 80 ms": {"windows_ms": (80.0,), "gradient": False, "velocity": False},
    "magnitude, 170 ms": {"windows_ms": (170.0,), "gradient": False, "velocity": False},
    "static part removed by a high-pass": {"static": "highpass"},
    "with copies high-passed at 3 and 6 Hz": {"copies_hz": (3.0, 6.0)},
    "tones weighted alike": {"weight_tones": False},
    "without gradient": {"gradient": False},
    "without velocity": {"velocity": False},
}


# What the training does without, or does besides; each changes the configuration of an experiment.
RECIPES: Mapping[str, dict[str, Any]] = {
    "as it is": {},
    "without the mouth's motion as a teacher": {"correlation": {"teacher_weight": 0.0}},
    "without the synchrony loss": {"correlation": {"sync_weight": 0.0}},
    "without made negatives": {"training": {"negatives": {"per_live": 0}}},
    "the level gate taught what stands still": {"correlation": {"gate_weight": 0.25}},
    "dropout of 0.3": {"model": {"head": {"dropout": 0.3}}},
}


@dataclass(frozen=True)
class Training:
    """One training: what it differs in from the default one."""

    name: str
    group: str
    head: str = DETECTOR
    seed: int = 0
    trained_on: str = "phonetic"
    front_end: str = "default"
    share: float = 1.0
    width: float = 1.0
    recipe: str = "as it is"

    @property
    def short(self) -> bool:
        """It is compared with others of its kind, and trained for as few steps as they."""
        return self.group != "seeds"

    @property
    def lengths_s(self) -> tuple[int, ...]:
        """Lengths of the recordings that it is judged on."""
        return LENGTHS_S if self.group in ("seeds", "detectors") else LENGTHS_S[:1]

    @property
    def sources(self) -> tuple[str, ...]:
        """Motion that it is judged on; of front ends and sizes it is enough to know the judges' and its own."""
        every = (*JUDGES, *FAMILIES)
        return every if self.group in ("seeds", "matrix") else (*JUDGES, FAMILIES[0])


def trainings(detector: str = DETECTOR) -> list[Training]:
    """All trainings, the first of them the default."""

    def of(name: str, group: str, **changes: Any) -> Training:
        settings: dict[str, Any] = {"head": detector} | changes
        return Training(name, group, **settings)

    return [
        *(of(f"seed {seed}", "seeds", seed=seed) for seed in SEEDS),
        *(of(head, "detectors", head=head) for head in dict.fromkeys((detector, *DETECTORS))),
        *(of(f"on {name}", "matrix", trained_on=name) for name in (*FAMILIES, "vocaltract")),
        *(of(name, "front ends", front_end=name) for name in FRONT_ENDS),
        *(of(f"{share:g} of the hours", "curve", share=share) for share in (1.0, 0.25, 0.5)),
        *(of(f"{width:g} times as wide", "curve", width=width) for width in (0.5, 2.0)),
        *(of(name, "ablation", recipe=name) for name in RECIPES),
    ]


GROUPS = ("seeds", "detectors", "matrix", "front ends", "curve", "ablation")


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    epochs: int = 8  # of the default training, three seeds
    short_epochs: int = 2  # of those that are compared with one another
    speakers: int | None = None  # of the corpus; None: all
    utterances: int | None = None  # of a speaker; None: all
    judged: int = 120  # utterances of each judge, about; its speakers are met again until there are so many
    components: int = 128
    passive_frames: int = 80_000
    resamples: int = 1000
    model: dict[str, Any] = field(
        default_factory=lambda: {"trunk": {"channels": 128, "pooled_channels": 192, "embedding_dim": 64}}
    )


SMOKE = Size(
    epochs=1, short_epochs=1, speakers=10, utterances=4, judged=6, components=4, passive_frames=4000, resamples=50
)
