"""`vivavoce split`: a manifest becomes three, with no speaker in two of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out


def split(
    manifest: Annotated[Path, typer.Argument(help="The manifest to split.")],
    out_: Annotated[Path, typer.Option("--out", help="Folder for train, validation and test .jsonl.gz.")],
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of the speakers: train, validation, test.")
    ] = (0.6, 0.2, 0.2),
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another split.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Split a manifest by speaker into train, validation and test, each with the same mixture of sexes."""
    from vivavoce.corpus.manifest import read_rows
    from vivavoce.corpus.split import split_by_speaker, write_splits

    splits = split_by_speaker(read_rows(manifest), fractions, seed)
    paths = write_splits(splits, out_)
    result = {
        name: {
            "manifest": str(paths[name]),
            "recordings": len(rows),
            "speakers": len({row.speaker for row in rows}),
        }
        for name, rows in splits.items()
    }
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    for name, part in result.items():
        line = f"{name}: {part['recordings']} recordings of {part['speakers']} speakers: {part['manifest']}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
