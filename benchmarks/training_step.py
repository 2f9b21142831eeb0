"""Speed of one training step of ECAPA-TDNN beside SpeechBrain's and WeSpeaker's network, in one run on two threads.

    python benchmarks/training_step.py [--peers ../peers] [--rounds 6] [--curves 60]

A step is forward, additive angular margin softmax over 200 speakers, backward and AdamW on 32 crops of 2 s (200 frames
of 80 mels), C = 512, in float32 and under bfloat16 autocast. Each network trains in a process of its own, as its
toolkit trains it: our trainer keeps freed memory (`vivavoce.training.memory`), the peers' do not. Rows of peers that
are given kept memory, too, show what is left between the networks alone. Rounds are interleaved, each step comes right
behind one that is not timed, and the fastest of each counts, so that other work on the machine harms none of them more.

``--peers`` is a folder with the peers' clones, ``speechbrain`` and ``wespeaker``; a peer that cannot be imported is
left out with a sentence. Prints a table and writes benchmarks/results/training_step.json. About three minutes.

``--curves N`` trains ours in bfloat16 and SpeechBrain's in float32 besides for N steps from three seeds, each pair on
the same crops of real speech (``--speech``, an index.csv with file, speaker and seconds), and writes the losses of
both: what is gained in speed must not be lost in what a sample teaches.
"""

import argparse
import csv
import importlib
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import soundfile
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from peers import find_peers
from vivavoce.files import write_json
from vivavoce.models.ecapa_tdnn import EcapaConfig
from vivavoce.objectives.speaker.aam import AamSoftmaxConfig
from vivavoce.signal.voice import FbankConfig
from vivavoce.training.memory import keep_freed_memory

HERE = Path(__file__).resolve().parent
BATCH, FRAMES, MELS, EMBEDDING, SPEAKERS, THREADS = 32, 200, 80, 192, 200, 2
RATE, SHIFT = 16_000, 160  # Hz; samples between two frames
SEEDS = (0, 1, 2)
SAME_PRECISION, OURS_BFLOAT16 = 1.3, 3.0  # times as many samples a second as a peer in float32
OURS, SPEECHBRAIN, WESPEAKER = "vivavoce", "SpeechBrain", "WeSpeaker"
MODULES = {SPEECHBRAIN: "speechbrain.lobes.models.ECAPA_TDNN", WESPEAKER: "wespeaker.models.ecapa_tdnn"}
# A network, and how it embeds crops (batch, frames, mels).
Network = tuple[nn.Module, Callable[[Tensor], Tensor]]


class Rival(NamedTuple):
    """A network, and whether its process keeps the memory that a step frees."""

    network: str
    kept: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder with the peers' clones")
    parser.add_argument("--rounds", type=int, default=6, help="timed steps of each network in each precision")
    parser.add_argument("--curves", type=int, default=0, metavar="N", help="compare the losses of N steps besides")
    parser.add_argument("--speech", type=Path, default=HERE.parents[1] / "shared/data/speechocean_adult16k/index.csv")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "training_step.json")
    options = parser.parse_args()
    if options.peers is not None:
        find_peers(options.peers)
    present, absent = [], {}
    for peer, module in MODULES.items():
        try:
            importlib.import_module(module)
            present.append(peer)
        except ImportError as error:
            absent[peer] = f"{peer} is left out: {module} cannot be imported ({error})."
            print(absent[peer])
    rivals = [Rival(OURS, True), *(Rival(peer, kept) for kept in (False, True) for peer in present)]
    rows = speeds(rivals, options.rounds, options.peers)
    show(rows)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": THREADS}
    setting = {"batch": BATCH, "frames": FRAMES, "channels": 512, "speakers": SPEAKERS, "rounds": options.rounds}
    result: dict[str, Any] = {"machine": machine, **setting, "absent": absent, "rows": rows}
    if options.curves:
        result["curves"] = curves([OURS, *(peer for peer in present if peer == SPEECHBRAIN)], options)
    write_json(options.out, result)


def network(name: str) -> Network:
    """One network in training, C = 512."""
    if name == OURS:
        ours = EcapaConfig().build(MELS).train()
        return ours, lambda x: ours(x.transpose(1, 2))
    made = importlib.import_module(MODULES[name])
    if name == SPEECHBRAIN:
        theirs = made.ECAPA_TDNN(MELS, lin_neurons=EMBEDDING).train()
        return theirs, lambda x: theirs(x).squeeze(1)
    theirs = made.ECAPA_TDNN_GLOB_c512(MELS, EMBEDDING).train()
    return theirs, lambda x: theirs(x)[1]


def stepper(name: str, speakers: int, bfloat16: bool) -> Callable[[Tensor, Tensor], float]:
    """One training step from crops and their speakers to the loss."""
    model, embed = network(name)
    objective = AamSoftmaxConfig().build(EMBEDDING, speakers)
    optimiser = torch.optim.AdamW([*model.parameters(), *objective.parameters()], 1e-3)

    def step(crops: Tensor, labels: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            embeddings = embed(crops)
        loss = objective(embeddings.float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def serve(connection: Connection, rival: Rival, peers: Path | None) -> None:
    """Take a step for each precision that is asked for (True: bfloat16), and answer with its seconds."""
    if peers is not None:
        find_peers(peers)
    torch.set_num_threads(THREADS)
    if rival.kept:
        keep_freed_memory()
    torch.manual_seed(0)
    crops, labels = torch.randn(BATCH, FRAMES, MELS), torch.randint(SPEAKERS, (BATCH,))
    steps = {low: stepper(rival.network, SPEAKERS, low) for low in (False, True)}
    while (low := connection.recv()) is not None:
        steps[low](crops, labels)  # others have had the caches, and the first step makes the optimiser's state
        began = time.perf_counter()
        steps[low](crops, labels)
        connection.send(time.perf_counter() - began)


def speeds(rivals: list[Rival], rounds: int, peers: Path | None) -> list[dict[str, Any]]:
    """Samples a second of each network in each precision, and how many times the peer's those of ours are."""
    context = multiprocessing.get_context("spawn")
    pipes = {rival: context.Pipe() for rival in rivals}
    processes = [context.Process(target=serve, args=(pipes[rival][1], rival, peers), daemon=True) for rival in rivals]
    for process in processes:
        process.start()
    seconds: dict[tuple[Rival, bool], list[float]] = {(rival, low): [] for low in (False, True) for rival in rivals}
    for _ in range(rounds):
        for (rival, low), found in seconds.items():
            pipes[rival][0].send(low)
            found.append(pipes[rival][0].recv())
    for rival, process in zip(rivals, processes, strict=True):
        pipes[rival][0].send(None)
        process.join()
    rate = {key: BATCH / min(values) for key, values in seconds.items()}
    ours = rivals[0]
    return [
        {
            "network": rival.network,
            "memory kept": rival.kept,
            "float32": rate[rival, False],
            "bfloat16": rate[rival, True],
            "median float32": BATCH / statistics.median(seconds[rival, False]),
            "median bfloat16": BATCH / statistics.median(seconds[rival, True]),
            "ours, both float32": rate[ours, False] / rate[rival, False],
            "ours, both bfloat16": rate[ours, True] / rate[rival, True],
            "ours bfloat16, theirs float32": rate[ours, True] / rate[rival, False],
        }
        for rival in rivals
    ]


def show(rows: list[dict[str, Any]]) -> None:
    title = f"ECAPA-TDNN C=512, training step on {BATCH} crops of 2 s, {THREADS} threads: samples a second"
    table = Table(title=title)
    header = ["network", "float32", "bfloat16", f"ours ÷ it (asked ≥ {SAME_PRECISION})", "both bfloat16"]
    for column in [*header, f"ours bfloat16 ÷ its float32 (asked ≥ {OURS_BFLOAT16:g})"]:
        table.add_column(column)
    ratios = ("ours, both float32", "ours, both bfloat16", "ours bfloat16, theirs float32")
    for row in rows:
        peer = row["network"] != OURS
        name = row["network"] + (", memory kept" if peer and row["memory kept"] else "")
        compared = [f"{row[ratio]:.2f}" if peer else "" for ratio in ratios]
        table.add_row(name, f"{row['float32']:.1f}", f"{row['bfloat16']:.1f}", *compared)
    Console(width=120).print(table)


def curves(names: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Losses of each network over the same crops of real speech, from three seeds; ours in bfloat16."""
    torch.set_num_threads(THREADS)
    keep_freed_memory()
    features = speech(options.speech)
    found = []
    for seed in SEEDS:
        for name in names:
            torch.manual_seed(seed)
            step = stepper(name, len(features), bfloat16=name == OURS)
            losses = [step(crops, labels) for crops, labels in draws(features, options.curves, seed)]
            last = statistics.fmean(losses[-max(1, options.curves // 10) :])
            precision = "bfloat16" if name == OURS else "float32"
            found.append({"network": name, "precision": precision, "seed": seed, "last tenth": last, "losses": losses})
            print(f"{name}, seed {seed}: mean loss of the last tenth of {options.curves} steps {last:.3f}", flush=True)
    return found


def speech(index: Path) -> list[list[Tensor]]:
    """Log-mel features ``(frames, mels)`` of every utterance that holds a crop, by speaker, each without its mean."""
    fbank = FbankConfig(num_mel_bins=MELS).build()
    speakers: dict[str, list[Tensor]] = {}
    with index.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if float(row["seconds"]) * RATE < (FRAMES + 1) * SHIFT:
                continue
            wave = torch.from_numpy(soundfile.read(index.parent / row["file"], dtype="float32")[0])
            frames = fbank(wave[None], torch.tensor([len(wave)]))[0][0]
            speakers.setdefault(row["speaker"], []).append(frames - frames.mean(dim=0))
    return list(speakers.values())


def draws(features: list[list[Tensor]], steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of crops ``(batch, frames, mels)`` and their speakers ``(batch,)``, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    for _ in range(steps):
        labels = torch.randint(len(features), (BATCH,), generator=generator)
        whole = [features[speaker][below(len(features[speaker]))] for speaker in labels.tolist()]
        starts = [below(len(one) - FRAMES + 1) for one in whole]
        yield torch.stack([one[start : start + FRAMES] for one, start in zip(whole, starts, strict=True)]), labels


if __name__ == "__main__":
    main()
