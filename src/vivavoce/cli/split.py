"""`vivavoce split`: a manifest becomes parts that share no speaker, or no session, and no sound."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.corpus.policy import Grouping, Policy


def split(
    manifest: Annotated[Path, typer.Argument(help="The manifest to split.")],
    out_: Annotated[Path, typer.Option("--out", help="Folder for train, validation and test .jsonl.gz, or for folds.")],
    policy: Annotated[
        Policy,
        typer.Option(
            help="auto: three parts, 60:20:20 up to tens of thousands of recordings, 80:10:10 up to a million, 98:1:1 "
            "above, or folds with --folds. holdout: train and test only, 80:20."
        ),
    ] = Policy.AUTO,
    fractions: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            help="Shares of the speakers (or of each one's sessions), instead of those by size: train, "
            "validation, test."
        ),
    ] = None,
    group: Annotated[
        Grouping,
        typer.Option(
            help="speaker: no speaker in two parts, for verification. session: every speaker in every part, no session "
            "in two, for a closed set of speakers."
        ),
    ] = Grouping.SPEAKER,
    folds: Annotated[
        int | None, typer.Option(help="Cut into so many folds (3 or more) for a cross-validation; DIR/fold-K each.")
    ] = None,
    few_hyperparameters: Annotated[
        bool, typer.Option("--few-hyperparameters", help="Little is tuned: give half of validation's share to train.")
    ] = False,
    near_duplicates: Annotated[
        bool | None,
        typer.Option(
            help="Listen to all recordings and keep those of one sound (coded, resampled, trimmed, louder) together. "
            "Reads some 200 s of sound a second, and keeps what it measured beside the manifest for `vivavoce audit`. "
            "Default: yes up to 20 hours of sound."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another split.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that listen for near-duplicates.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Split a manifest so that nothing leaks: grouped by speaker or session, and alike in kind, sex and device."""
    from vivavoce.splitting import split_manifest

    result = split_manifest(
        manifest,
        out_,
        policy,
        fractions=fractions,
        by=group,
        folds=folds,
        few_hyperparameters=few_hyperparameters,
        near_duplicates=near_duplicates,
        seed=seed,
        workers=workers,
    )
    emit(result.to_dict(), as_json, _show)


def _show(result: dict[str, Any]) -> None:
    for fold in result["folds"] or [{"parts": result["parts"]}]:
        begin = f"fold {fold['fold']}, " if "fold" in fold else ""
        for name, part in fold["parts"].items():
            speakers = f"{part['speakers']} speaker{'' if part['speakers'] == 1 else 's'}"
            count = f"{part['recordings']} recordings of {speakers}"
            out.print(f"{begin}{name}: {count}: {part['manifest']}", highlight=False, markup=False, soft_wrap=True)
    for sentence in (result["why"], *result["notes"]):
        out.print(sentence, highlight=False, markup=False, soft_wrap=True)
