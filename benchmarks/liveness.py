"""Is the liveness answer worth trusting? The detector judged by motion that the simulator did not invent.

Run from the repository root: ``python benchmarks/liveness.py``; needs ``../shared/data/speechocean_adult16k`` and
``../shared/data/articulatory`` (``--corpus`` and ``--motion`` name others), and, for the independent synthesiser, what
``python benchmarks/judges_vocaltract.py`` made (``--vocaltract``; left out where it is not there). Stage by stage it
simulates, trains, judges and writes ``benchmarks/results/liveness.json``; what is done is not done again, so a run that
was stopped goes on. All recordings with a probe are simulated.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from liveness_extras import babble, passive, shifts
from liveness_figures import abstentions, kinds, pairs, species, targets, transfer
from liveness_plan import DETECTOR, DETECTORS, GROUPS, SMOKE, Size, Training, trainings
from liveness_runs import describe, unavailable
from liveness_sets import Bench
from liveness_spans import running, splices
from vivavoce.files import write_json

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data"
Parts = dict[str, Any]


Save = Callable[[Parts], None]
Stage = Callable[[Bench, list[Training], Save], None]


def corpora(bench: Bench, plan: list[Training], save: Save) -> None:
    """Read, split and align the speech."""
    counts = {
        name: {
            "speakers": len({row.speaker for row in spoken.rows}),
            "utterances": len(spoken.rows),
            "hours": round(sum(row.duration_s for row in spoken.rows) / 3600, 3),
        }
        for name, spoken in bench.speech.items()
    }
    save({"speech": counts, "sources": list(bench.sources)})


def simulations(bench: Bench, plan: list[Training], save: Save) -> None:
    """Simulate every set."""
    for one in bench.all_sets():
        bench.simulate(one)
    rows = [row for one in bench.all_sets() for row in bench.rows(one)]
    save({"simulated": {"recordings": len(rows), "hours": round(sum(row.duration_s for row in rows) / 3600, 2)}})


def group(name: str) -> Stage:
    """Make the stage that runs and judges one group of trainings; what is known is saved after each of them."""

    def stage(bench: Bench, plan: list[Training], save: Save) -> None:
        found: Parts = {f"runs {name}": [], f"eer {name}": [], f"left out {name}": []}
        able = []
        for training in [one for one in plan if one.group == name]:
            why = unavailable(training)
            if why is None and training.trained_on not in bench.trained_on:
                why = f"there are no recordings of {training.trained_on}"
            if why is not None:
                found[f"left out {name}"].append({"name": training.name, "group": name, "why": why})
            else:
                able.append(training)
        save(found)
        for training in able:
            found[f"runs {name}"].append(describe(bench, training))
            found[f"eer {name}"] += pairs(bench, training)
            save(found)

    return stage


def judged(bench: Bench, plan: list[Training], save: Save) -> None:
    """Every kind, the transfer of the threshold, and held-out species against seen ones, with the default training."""
    rows = kinds(bench, plan[0])
    save({"kinds": rows, "transfer": transfer(bench, plan[0]), "species": species(rows)})


def figure(name: str, make: Callable[[Bench, Training], Any]) -> Stage:
    """Make a stage of one figure of the default training."""
    return lambda bench, plan, save: save({name: make(bench, plan[0])})


STAGES: dict[str, Stage] = {
    "corpora": corpora,
    "simulations": simulations,
    "seeds": group("seeds"),
    "judged": judged,
    "shifts": figure("shifts", shifts),
    "babble": figure("babble", babble),
    "splices": figure("splices", splices),
    "running": figure("running", running),
    "passive": figure("passive", passive),
    **{name.replace(" ", "_"): group(name) for name in GROUPS[1:]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/liveness"), help="folder for everything that is made")
    parser.add_argument("--corpus", type=Path, default=DATA / "speechocean_adult16k")
    parser.add_argument("--motion", type=Path, default=DATA / "articulatory", help="folder of measured lip motion")
    parser.add_argument("--vocaltract", type=Path, default=Path("runs/vocaltract"), help="of judges_vocaltract.py")
    parser.add_argument("--detector", choices=DETECTORS, default=DETECTOR, help="the head that is judged in full")
    parser.add_argument("--epochs", type=int, help="of the default training")
    parser.add_argument("--short-epochs", type=int, help="of the trainings that are compared with one another")
    parser.add_argument("--seed", type=int, default=0, help="of splits and simulations")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one, even if it is done")
    parser.add_argument("--list", action="store_true", help="say what is done, and do nothing")
    parser.add_argument("--smoke", action="store_true", help="everything, but tiny: does it run?")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "liveness.json")
    arguments = parser.parse_args()
    size = SMOKE if arguments.smoke else Size()
    given = {"epochs": arguments.epochs, "short_epochs": arguments.short_epochs}
    size = replace(size, **{name: value for name, value in given.items() if value is not None})
    bench = Bench(
        arguments.out.resolve(), size, arguments.corpus / "index.csv", arguments.motion.resolve(),
        arguments.vocaltract.resolve(), arguments.seed, arguments.workers,
    )  # fmt: skip
    parts = Kept(bench.out / "parts")
    if arguments.list:
        listed(parts)
        return
    plan = trainings(arguments.detector)
    for name in arguments.stage or STAGES:
        if parts.done(name) and not arguments.stage:
            continue
        print(f"{name} …", flush=True)
        began = time.monotonic()

        def save(found: Parts, name: str = name, began: float = began) -> None:
            parts.keep(name, found | {"seconds": round(time.monotonic() - began, 1)})
            write_json(arguments.json, result(bench, plan, parts, arguments.smoke))

        STAGES[name](bench, plan, save)
        parts.finish(name)
    write_json(arguments.json, result(bench, plan, parts, arguments.smoke))
    show(result(bench, plan, parts, arguments.smoke))


class Kept:
    """What each stage found, a file a stage, and whether it came to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def done(self, stage: str) -> bool:
        """Tell whether a stage has come to its end."""
        return bool(self.read(stage).get("done"))

    def keep(self, stage: str, found: Parts) -> None:
        """Keep what a stage has found so far."""
        write_json(self.folder / f"{stage}.json", found)

    def finish(self, stage: str) -> None:
        """Note that a stage has come to its end."""
        self.keep(stage, self.read(stage) | {"done": True})

    def read(self, stage: str) -> Parts:
        """Return what a stage found; nothing where it has not run."""
        path = self.folder / f"{stage}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def result(bench: Bench, plan: list[Training], parts: Kept, smoke: bool) -> Parts:
    """All that is known so far, with the targets beside it."""
    found: Parts = {
        "machine": {"cores": os.cpu_count(), "torch": torch.__version__},
        "smoke": smoke,
        "corpus": bench.corpus.parent.name,
        "detector": plan[0].head,
        "epochs": bench.size.epochs,
        "short_epochs": bench.size.short_epochs,
        "seed": bench.seed,
        "seconds": {name: parts.read(name)["seconds"] for name in STAGES if parts.read(name)},
    }
    for name in STAGES:
        for key, value in parts.read(name).items():
            # Groups of trainings are one list each of runs, rates and what was left out.
            common = next((k for k in ("runs", "eer", "left out") if key.startswith(f"{k} ")), None)
            if common is not None:
                found.setdefault(common, []).extend(value)
            elif key not in ("seconds", "done"):
                found[key] = value
    return found | {"targets": targets(found), "abstentions": abstentions(found)}


def listed(parts: Kept) -> None:
    """Print the stages and what they took."""
    for name in STAGES:
        print(f"{name:12} {parts.read(name)['seconds']:.0f} s" if parts.done(name) else f"{name:12} to do")


def show(found: Parts) -> None:
    """Print what was asked beside what was reached."""
    table = Table("Figure", "Motion", "Condition", "Value", "95 %", "Asked", "Reached", title="Liveness")
    for row in found["targets"]:
        low, high = row["low"], row["high"]
        interval = "–" if low is None else f"{100 * low:.1f}–{100 * high:.1f} %"
        asked = "reported" if row["asked"] is None else f"≤ {100 * row['asked']:g} %"
        reached = {None: "–", True: "yes", False: "no"}[row["reached"]]
        place = (row["figure"], row["source"], row["condition"])
        table.add_row(*place, f"{100 * row['value']:.1f} %", interval, asked, reached)
    Console(width=140).print(table)
    print(f"{sum(found['seconds'].values()) / 60:.1f} min in all")


if __name__ == "__main__":
    main()
