"""`vivavoce score`: scores of any encoder, ours or a peer's, on one list of trials."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.encoders.registry import usage

Norm = Literal["none", "s_norm", "as_norm"]
Enrolment = Literal["mean", "scores"]
CohortOf = Literal["speakers", "utterances"]


def score(
    manifest: Annotated[Path, typer.Argument(help="The recordings to score.")],
    encoder: Annotated[str, typer.Option(help=f"What embeds them: {usage()}.")],
    out_file: Annotated[Path, typer.Option("--out", help="The score file to write, CSV.")],
    trials: Annotated[
        Path | None, typer.Option(help="A list of trials among the recordings. Default: made as `evaluate` does.")
    ] = None,
    enrolment: Annotated[
        Enrolment, typer.Option(help="Of an enrolment's recordings, the mean embedding, or the mean of their scores.")
    ] = "mean",
    norm: Annotated[Norm, typer.Option(help="Tell scores against those of other speakers.")] = "none",
    cohort: Annotated[Path | None, typer.Option(help="With --norm: a manifest of those other speakers.")] = None,
    cohort_of: Annotated[CohortOf, typer.Option(help="What counts in the cohort: speakers' means, or each.")] = (
        "speakers"
    ),
    top: Annotated[int, typer.Option(min=2, help="With as_norm: how many of the cohort count, the nearest.")] = 300,
    plda: Annotated[
        Path | None, typer.Option(help="Compare by this PLDA; with --plda-train, where to write what is fitted.")
    ] = None,
    plda_train: Annotated[Path | None, typer.Option(help="Fit a PLDA to the speakers of this manifest.")] = None,
    lda: Annotated[int | None, typer.Option(min=1, help="With --plda-train: first keep so many discriminants.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps embeddings for the next time.")] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on where a run was trained on some of the recordings.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Embed each recording once with an encoder, score trials among them, and write a score file."""
    from vivavoce.encoders.manifest import ScoringConfig, Sources, score_manifest
    from vivavoce.evaluation.scoring.normalisation import NormalisationConfig
    from vivavoce.evaluation.scoring.plda_fitting import PldaConfig

    config = ScoringConfig(
        enrolment=enrolment,
        normalisation=NormalisationConfig(type=norm, top_n=top),
        cohort_of=cohort_of,
        plda=PldaConfig() if lda is None else PldaConfig(projection="lda", dim=lda),
    )
    sources = Sources(trials, cohort, plda, plda_train, cache)
    result = score_manifest(manifest, encoder, out_file, config, sources, allow_leak)
    emit(result.to_dict(), as_json, _show)


def _show(result: dict[str, Any]) -> None:
    counts = ", ".join(f"{count} {label}" for label, count in result["trials"].items())
    out.print(f"[bold]{result['encoder']}[/]: {result['recordings']} recordings", highlight=False, soft_wrap=True)
    out.print(f"Embedded {result['embedded']} in {result['embedding_s']:.1f} s", highlight=False)
    out.print(f"Scored {counts} trials in {result['scoring_s']:.2f} s", highlight=False, soft_wrap=True)
    out.print(f"Scores: [bold]{result['scores']}[/]", highlight=False, soft_wrap=True)
