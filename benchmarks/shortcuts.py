"""Shortcut audit of a liveness detector: does it answer by the evidence, and by nothing else?

    python benchmarks/shortcuts.py [--run RUN] [--manifest MANIFEST ...]

By default it audits what ``benchmarks/liveness.py`` trained, on its test recordings of 3 s on a stand at 10 cm. The
recordings of the manifest (live and attacked, of speakers that the run never saw) are changed one thing at a time
and scored anew. Where the change takes the evidence away, error rates must rise to chance; where it takes away only
what a shortcut could use, they must stay. Beside the manifest's attacks stand swaps and shifts spliced of its live
recordings: there is no loudspeaker in them at all. Writes ``benchmarks/results/shortcuts.json``. About five minutes.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from shortcut_figures import auc, eer_change, eer_of
from shortcut_recordings import MOVING, PLAYED, Audit, Change, Sound, grouped, sample, splices
from shortcut_sidebands import sideband_rows
from shortcut_sounds import (
    between_tones_removed,
    coloured,
    echo_silenced,
    gain_controlled,
    respliced,
    voice_silenced,
)
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.metadata import Kind
from vivavoce.errors import UserError
from vivavoce.files import write_json
from vivavoce.negatives import MANIFEST
from vivavoce.verifier import LoadedRun, load_run

HERE = Path(__file__).resolve().parent
LIVENESS = Path("runs") / "liveness"  # what benchmarks/liveness.py leaves
# A detector may lose so much where only a shortcut is taken away: every change costs some signal.
TOLERANCE = 0.03
CHANCE = (0.40, 0.60)
BLIND = (0.45, 0.55)  # area under the curve of who cannot tell two classes apart
# Share of recordings without an answer that counts as "it says that it cannot know".
ABSTAINS = 0.95


@dataclass(frozen=True)
class Probing:
    """One change of the recordings and what it asks: ``gone`` or ``kept`` evidence.

    ``groups`` are the attacks that it asks of; None: all of them.
    """

    name: str
    evidence: str
    live: Change | None = None
    attacks: Change | None = None
    groups: tuple[str, ...] | None = None

    @property
    def asked(self) -> str:
        """What the error rate must do."""
        if self.evidence == "gone":
            return "40 to 60 %, or 50 % in the interval, or no answer"
        return f"at most {100 * TOLERANCE:g} points more"


MOUTHS = ("swapped mouths", "spliced swaps", "spliced shifts")


def comb(sound: Sound) -> np.ndarray:
    return between_tones_removed(sound.wave, sound.rate, sound.tones_hz)


def gain(sound: Sound) -> np.ndarray:
    return gain_controlled(sound.wave, sound.rate)


def no_voice(sound: Sound) -> np.ndarray:
    return voice_silenced(sound.wave, sound.rate, sound.rng)


def no_echo(sound: Sound) -> np.ndarray:
    return echo_silenced(sound.wave, sound.rate, sound.tones_hz, sound.rng)


def spliced(sound: Sound) -> np.ndarray:
    return respliced(sound.wave, sound.rate)


def colour(sound: Sound) -> np.ndarray:
    return coloured(sound.wave, sound.rate, sound.rng)


PROBES = (
    Probing("1 energy between the tones notched out", "kept", comb, comb),
    Probing("2 the same strong gain control in both classes", "kept", gain, gain),
    Probing("2 strong gain control in the attacks alone", "kept", None, gain),
    Probing("3 voice band silenced", "gone", no_voice, no_voice, MOUTHS),
    Probing("4 echo band silenced", "gone", no_echo, no_echo),
    Probing("5 live recordings re-spliced, as spliced attacks are", "kept", spliced, None),
    Probing("6 live voices coloured by a recorder and a loudspeaker", "kept", colour, None),
)


@dataclass(frozen=True)
class Judged:
    """Scores of one version of the recordings: live and attacks, and which of them the product answers."""

    live: np.ndarray
    attacks: np.ndarray
    answered: np.ndarray


def audit(
    run: LoadedRun, rows: Sequence[Row], work: Path, seed: int, most: int | None, resamples: int, workers: int
) -> dict[str, Any]:
    """Change, score and judge."""
    own = Audit(run, work, seed, workers)
    judged = [row for row in rows if row.meta.kind in (Kind.LIVE, *MOVING, *PLAYED) and row.meta.probe_hz]
    judged = sample(judged, most, seed)
    _, usable = own.scores(judged, "all")
    judged = [row for row, fine in zip(judged, usable, strict=True) if fine]
    live = [row for row in judged if row.meta.kind is Kind.LIVE]
    negatives, twins = splices(live, work, seed)
    attacks = [row for row in judged if row.meta.kind is not Kind.LIVE] + negatives
    groups = grouped(attacks)
    base = Judged(own.scores(live, "live")[0], own.scores(attacks, "attacks")[0], np.ones(0, dtype=bool))
    who = tuple(np.array([row.speaker for row in part]) for part in (live, attacks))
    found = []
    for probing in PROBES:
        changed = _changed(own, probing, live, attacks, base)
        for group, mask in groups.items():
            if probing.groups is None or group in probing.groups:
                found.append(_row(probing, group, base, changed, mask, who, resamples, seed))
    found += _seam(own, live, twins, negatives, base, resamples, seed)
    return {
        "recordings": {"live": len(live), **{name: int(mask.sum()) for name, mask in groups.items()}},
        "tolerance": TOLERANCE,
        "probes": found,
        "sidebands": sideband_rows(live, twins, negatives, attacks, seed),
    }


def _changed(own: Audit, probing: Probing, live: list[Row], attacks: list[Row], base: Judged) -> Judged:
    parts = []
    for rows, change, old, side in (
        (live, probing.live, base.live, "live"),
        (attacks, probing.attacks, base.attacks, "attacks"),
    ):
        if change is None:
            parts.append((old, np.ones(len(old), dtype=bool)))
            continue
        name = f"{probing.name} {side}"
        parts.append(own.scores(own.changed(rows, change, name), name))
    return Judged(parts[0][0], parts[1][0], np.concatenate([parts[0][1], parts[1][1]]))


def _row(
    probing: Probing, group: str, base: Judged, changed: Judged, mask: np.ndarray, who: tuple[np.ndarray, ...],
    resamples: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Judge one change on one group of attacks."""
    speakers = (who[0], who[1][mask])
    before, after, change = eer_change(
        (base.live, base.attacks[mask]), (changed.live, changed.attacks[mask]), speakers, resamples, seed
    )
    answered = float(changed.answered.mean())
    if probing.evidence == "gone":
        chance = after.low is not None and after.high is not None and after.low <= 0.5 <= after.high
        held = CHANCE[0] <= after.value <= CHANCE[1] or chance or 1 - answered >= ABSTAINS
    else:
        held = change.value <= TOLERANCE
    return {
        "probe": probing.name, "attacks": group, "asked": probing.asked, "untouched": asdict(before),
        "changed": asdict(after), "change": asdict(change), "answered": answered, "held": bool(held),
    }  # fmt: skip


def _seam(
    own: Audit, live: list[Row], twins: list[Row], negatives: list[Row], base: Judged, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Ask whether the seam itself is heard."""
    joined, _ = own.scores(own.changed(live, spliced, "re-spliced"), "respliced")
    speakers = np.array([row.speaker for row in live])
    told = auc(joined, base.live, speakers, speakers, resamples, seed)
    rows = [
        {
            "probe": "5 re-spliced against untouched live recordings (area under the curve)",
            "attacks": "none",
            "asked": f"{BLIND[0]:g} to {BLIND[1]:g}",
            "changed": asdict(told),
            "held": BLIND[0] <= told.value <= BLIND[1],
        }
    ]
    positive, _ = own.scores(twins, "twins")
    negative, _ = own.scores(negatives, "negatives")
    made = np.array([(row.meta.model_extra or {})["made"] for row in negatives])
    of_twins, of_negatives = (np.array([row.speaker for row in part]) for part in (twins, negatives))
    for name in ("swap", "shift"):
        if not (made == name).any():
            continue
        mask = made == name
        rate = eer_of(positive, negative[mask], of_twins, of_negatives[mask], resamples, seed)
        rows.append(
            {
                "probe": "5 spliced attacks against re-spliced live recordings",
                "attacks": f"spliced {name}s",
                "asked": "reported",
                "changed": asdict(rate),
                "held": None,
            }
        )
    return rows


def show(result: dict[str, Any]) -> None:
    table = Table("Change", "Attacks", "Untouched", "Changed", "Asked", "Held", title="Shortcut audit: EER")
    for row in result["probes"]:
        value = row["changed"]["value"]
        shown = f"{value:.3f}" if "area" in row["probe"] else f"{100 * value:.1f} %"
        before = f"{100 * row['untouched']['value']:.1f} %" if "untouched" in row else ""
        held = {None: "", True: "yes", False: "NO"}[row["held"]]
        table.add_row(row["probe"], row["attacks"], before, shown, row["asked"], held)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for row in result["sidebands"]:
        print(f"sidebands, {row['recordings']}: found in {100 * row['found']:.1f} % of {row['count']}")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=LIVENESS / "runs" / "seed_0", help="a trained run")
    parser.add_argument(
        "--manifest",
        type=Path,
        nargs="+",
        default=[LIVENESS / "recordings" / "test-unseen-phonetic-stand10cm-3s" / MANIFEST],
        help="recordings of speakers that the run never saw",
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/shortcuts"), help="folder for changed copies; made anew"
    )
    parser.add_argument("--most", type=int, default=None, help="recordings of each kind; default: all")
    parser.add_argument("--smoke", action="store_true", help="a few recordings, to see that it runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "shortcuts.json")
    arguments = parser.parse_args(words)
    most, resamples = (8, 20) if arguments.smoke else (arguments.most, 1000)
    shutil.rmtree(arguments.work, ignore_errors=True)
    try:
        rows = [row for manifest in arguments.manifest for row in read_rows(manifest)]
        run = load_run(arguments.run)
    except UserError as error:
        sys.exit(str(error))
    result = audit(run, rows, arguments.work, arguments.seed, most, resamples, arguments.workers)
    # Names only: where the folders lay on this machine is nobody's concern.
    result = {"run": arguments.run.name, "model": run.config.model.name, **result}
    show(result)
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
