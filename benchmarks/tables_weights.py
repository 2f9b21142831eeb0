"""Table of imported trunks beside the toolkits' own code."""

from tables import LINE, Result, power, table

TITLES = {
    "wespeaker": "WeSpeaker",
    "speechbrain": "SpeechBrain",
    "3dspeaker": "3D-Speaker",
    "tao": "TaoRuijie's ECAPA-TDNN",
}


def peer_parity(result: Result) -> str:
    """How far embeddings of the same weights are apart, there and here."""
    rows = []
    for row in result["rows"]:
        ends = (row.get(f"{which}_lowest_cosine") for which in ("end_to_end", "shifted"))
        rows.append(
            [
                f"{row['architecture']} {row['variant']}".strip(),
                TITLES[row["family"]],
                "random" if row["weights"] == "random" else f"**real**, `{row['weights']}`",
                f"{row['parameters'] / 1e6:.3f} M",
                f"{row['lowest_cosine']:.6f}",
                power(row["largest_difference"]),
                *("–" if end is None else f"{end:.6f}" for end in ends),
            ]
        )
    compared = ["Parameters", "Lowest cosine", "Largest difference", "End to end", "7.5 ms off"]
    return LINE.join(
        [
            f"{result['utterances']} utterances of real speech; PyTorch {result['torch']}. Cosines after the mean over "
            "utterances is subtracted; differences by the largest value.",
            "",
            table(["Network", "Toolkit", "Weights", *compared], rows),
        ]
    )
