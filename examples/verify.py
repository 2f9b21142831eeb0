"""Enrol a speaker once, then judge any number of recordings, from Python.

    python examples/verify.py RUN --enrol A.wav B.wav C.wav --test D.wav E.wav

Prints one line for each test: file, verdict, probabilities, reason.
"""

import argparse
import sys
from pathlib import Path

from vivavoce import Verifier
from vivavoce.errors import UserError


def main() -> int:
    """Enrol, judge and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--enrol", type=Path, nargs="+", required=True, help="recordings of the user")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="recordings to judge")
    parser.add_argument("--probe-hz", type=float, nargs="+", help="the tones that the phone was told to play")
    arguments = parser.parse_args()
    try:
        # Loading takes a second; enrolling and verifying take a fraction of that, so keep the object.
        user = Verifier.load(arguments.run).enrol(arguments.enrol)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for recording in arguments.test:
        print(f"{recording.name}: {judge(user, recording, arguments.probe_hz)}")
    return 0


def judge(user: Verifier, recording: Path, probe_hz: list[float] | None) -> str:
    """Say in one line what the verifier thinks of a recording; one that cannot be used does not stop the others."""
    try:
        verdict = user.verify(recording, probe_hz=tuple(probe_hz) if probe_hz else None)
    except UserError as error:
        return f"cannot be judged: {error}"
    live = "unknown" if verdict.liveness_probability is None else f"{verdict.liveness_probability:.2f}"
    return f"{verdict.verdict.value} (speaker {verdict.speaker_probability:.2f}, live {live}). {verdict.reason}"


if __name__ == "__main__":
    sys.exit(main())
