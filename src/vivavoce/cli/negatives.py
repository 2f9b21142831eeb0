"""`vivavoce negatives`: recordings whose voice and mouth do not belong together, made of live ones."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out


def negatives(
    manifest: Annotated[Path, typer.Argument(help="Manifest of recordings with a probe; split it first.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the recordings and their manifest.")],
    replace: Annotated[
        int, typer.Option(help="Per live recording: so many with the ultrasound band of a replay instead.")
    ] = 1,
    swap: Annotated[
        int, typer.Option(help="Per live recording: so many with the ultrasound band of another live one.")
    ] = 1,
    shift: Annotated[int, typer.Option(help="Per live recording: so many with its own band, shifted in time.")] = 1,
    hard_share: Annotated[
        float, typer.Option(help="Share of swaps that stay with the speaker, else with the phrase, where they can.")
    ] = 0.5,
    shift_ms: Annotated[
        tuple[float, float], typer.Option(help="Least and most shift, ms, either sign; 120 ms at least.")
    ] = (120.0, 1000.0),
    seed: Annotated[int, typer.Option(help="Seed of every draw.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make negatives of live recordings, and positives with the same seam: voice and ultrasound bands joined anew."""
    from pydantic import ValidationError

    from vivavoce.errors import UserError
    from vivavoce.negatives import make_negatives
    from vivavoce.negatives_plan import SplicingConfig
    from vivavoce.settings import explain

    try:
        settings = SplicingConfig(
            seed=seed, replace=replace, swap=swap, shift=shift, hard_share=hard_share, shift_ms=shift_ms
        )
    except ValidationError as error:
        raise UserError(explain(error, SplicingConfig)) from error
    made, plan = make_negatives(manifest, out_dir, settings)
    emit(_summary(made, dict(plan.left_out)), as_json, _show)


def _summary(manifest: Path, left_out: dict[str, int]) -> dict[str, Any]:
    from collections import Counter

    from vivavoce.corpus.manifest import read_rows

    rows = read_rows(manifest)
    return {
        "manifest": str(manifest),
        "recordings": len(rows),
        "hours": round(sum(row.duration_s for row in rows) / 3600, 4),
        "kinds": dict(Counter(str(row.meta.kind) for row in rows)),
        "made": dict(Counter(str((row.meta.model_extra or {})["made"]) for row in rows)),
        "left_out": left_out,
    }


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("Made by", "Recordings", "Not possible")
    for made in dict.fromkeys([*result["made"], *result["left_out"]]):
        table.add_row(made, str(result["made"].get(made, 0)), str(result["left_out"].get(made, 0)))
    out.print(table)
    out.print(
        f"{result['recordings']} recordings, {60 * result['hours']:.1f} min: {result['manifest']}",
        highlight=False,
        soft_wrap=True,
    )
