"""Tables of training: the loop, the step, the speaker task, joint losses, and imported weights."""

from tables import LINE, Result, answered, percent, table


def trainer_loop(result: Result) -> str:
    """What the loop itself costs."""
    overhead, checkpoint, kills = result["rows"]
    rows = [
        [overhead["what"], f"{overhead['value']:.2f}", f"≤ {overhead['asked']:g}", answered(overhead["reached"])],
        [checkpoint["what"], f"{100 * checkpoint['value']:.2f} %", f"≤ {percent(checkpoint['asked'])}",
         answered(checkpoint["reached"])],
        [kills["what"], f"{kills['value']:g}", f"{kills['asked']:g}", answered(kills["reached"])],
    ]  # fmt: skip
    what = (
        f"{result['machine']['cores']} cores, PyTorch {result['machine']['torch']}. Saving took "
        f"{checkpoint['save, s']:.2f} s for {checkpoint['size, MB']:.0f} MB, beside an epoch of "
        f"{checkpoint['epoch, s']:.0f} s; the kills were of {kills['runs']} runs."
    )
    return LINE.join([what, "", table(["What", "Seen", "Asked", "Reached"], rows)])


def speaker_scratch(result: Result) -> str:
    """Equal error rates of two recipes."""
    rows = [
        [
            row["objective"],
            percent(row["EER"]) if row["EER sd"] is None else f"{percent(row['EER'])} ± {percent(row['EER sd'])}",
            ", ".join(percent(value) for value in row["EER of each seed"]),
            percent(row["validation EER"]),
            f"{row['seconds an epoch']:.1f} s",
        ]
        for row in result["rows"]
    ]
    what = (
        f"{result['epochs']} epochs on the training speakers of `{result['corpus']}`, {result['channels']} channels, "
        f"{result['seeds']} seeds. Asked: ours no higher than theirs: "
        f"{'reached' if result['reached'] else '**missed**'}."
    )
    header = ["Objective", "EER, unseen speakers, mean ± sd", "Each seed", "Validation", "An epoch"]
    return LINE.join([what, "", table(header, rows)])


def multitask(result: Result) -> str:
    """Ways of joining the tasks on one budget."""
    rows = []
    for row in result["rows"]:
        cost = row.get("speaker EER, cost")
        rows.append(
            [
                f"`{row['way']}`",
                *(percent(row[name]) if name in row else "–" for name in ("speaker EER", "liveness EER")),
                "–" if cost is None else f"{100 * cost:+.0f} %",
                "–" if row["reached"] is None else answered(row["reached"]),
                f"{row['seconds a step']:.2f} s",
            ]
        )
    what = (
        f"{result['epochs']} epochs of {result['steps an epoch']} steps, seeds: {result['seeds']}; validation "
        "speakers, last epoch. Asked: joint training raises the speaker EER by "
        f"{percent(result['asked'])} of itself at most."
    )
    header = ["Way", "Speaker EER", "Liveness EER", "Speaker EER against voice alone", "Reached", "A step"]
    return LINE.join([what, "", table(header, rows)])


def pretrained_speaker(result: Result) -> str:
    """Speaker verification with imported weights."""
    rows = [
        [
            f"`{row['corpus']}`, {row['utterances']}",
            f"{row['EER %']:.2f} % ({row['low %']:.2f}–{row['high %']:.2f})",
            f"≤ {row['asked %']:g} %",
            answered(row["reached"]),
            f"{row['least cosine']:.6f}",
        ]
        for row in result["rows"]
    ]
    what = (
        f"Weights `{result['weights']}`. Cosine: ours beside the toolkit's features, the least of the recordings tried."
    )
    return LINE.join([what, "", table(["Corpus, utterances", "EER (95 %)", "Asked", "Reached", "Cosine"], rows)])


def training_step(result: Result) -> str:
    """Samples a second of a training step, ours and the peers'."""
    rows = []
    for row in result["rows"]:
        peer = row["network"] != "vivavoce"
        alike = peer and row["memory kept"]
        ratios = [row["ours, both float32"], row["ours, both bfloat16"], row["ours bfloat16, theirs float32"]]
        asked = (1.3, 1.3, 3.0)
        compared = [
            f"{value:.2f}" + ("" if alike else f" ({answered(value >= least)})")
            for value, least in zip(ratios, asked, strict=True)
        ]
        name = f"**{row['network']}**" if not peer else f"↳ memory kept: {row['network']}" if alike else row["network"]
        rows.append([name, f"{row['float32']:.1f}", f"{row['bfloat16']:.1f}", *(compared if peer else ["–"] * 3)])
    machine = result["machine"]
    what = f"Samples a second, {machine['threads']} threads ({machine['processor']}), PyTorch {machine['torch']}."
    header = [
        *("Network", "float32", "bfloat16", "Ours against it, both float32 (asked: 1.3)"),
        *("both bfloat16 (1.3)", "ours bfloat16, its float32 (3)"),
    ]
    parts = [what, "", table(header, rows)]
    if result.get("curves"):
        parts += ["", _curves(result["curves"])]
    return LINE.join(parts)


def _curves(runs: list[Result]) -> str:
    """Losses of networks that saw the same crops, a row a network, a column a seed."""
    seeds = sorted({run["seed"] for run in runs})
    found = {(run["network"], run["precision"], run["seed"]): run["last tenth"] for run in runs}
    networks = dict.fromkeys((network, precision) for network, precision, _ in found)
    rows = [
        [f"{name}, {precision}", *(f"{found[name, precision, seed]:.3f}" for seed in seeds)]
        for name, precision in networks
    ]
    steps = len(runs[0]["losses"])
    header = [f"Mean loss of the last tenth of {steps} steps on the same crops", *(f"seed {seed}" for seed in seeds)]
    return table(header, rows)


TRAINING = {
    name: (f"{name}.json", make)
    for name, make in {
        "training_step": training_step,
        "trainer_loop": trainer_loop,
        "speaker_scratch": speaker_scratch,
        "multitask": multitask,
        "pretrained_speaker": pretrained_speaker,
    }.items()
}
