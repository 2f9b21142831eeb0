"""`vivavoce simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out

if TYPE_CHECKING:
    from vivavoce.corpus.manifest import Row
    from vivavoce.simulate.phonemes import Phone


def simulate(
    manifest: Annotated[Path, typer.Argument(help="Manifest of recorded speech.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the recordings and their manifest.")],
    config: Annotated[
        Path | None, typer.Option(help="What to simulate, as YAML. Default: the kinds that training meets.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the config; repeatable."),
    ] = None,
    motion: Annotated[
        Path | None,
        typer.Option(
            help="Measured motion instead of phonemes: a .npz, or a folder of them named like the recordings."
        ),
    ] = None,
    phones: Annotated[
        Path | None, typer.Option(help="Known phone times (JSON lines beside made voices) instead of alignment.")
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="Cache of alignments. Default: beside the manifest, *.alignments.jsonl.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every draw. Default: the config's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate phone recordings with an inaudible probe, live and attacked, from recorded speech."""
    from vivavoce.corpus.manifest import read_rows
    from vivavoce.settings import load_settings
    from vivavoce.simulate.config import SimulationConfig
    from vivavoce.simulate.dataset import cores, simulate_dataset
    from vivavoce.simulate.measured import motions_of

    settings = load_settings(
        SimulationConfig, config, [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    )
    rows = read_rows(manifest)
    workers = workers or cores()
    motions = motions_of(rows, motion) if motion is not None else {}
    spoken = [row for row in rows if row.id not in motions]
    if motion is not None and spoken:
        err.print(f"{len(spoken)} of {len(rows)} recordings have no motion tracks; phonemes move their mouths.")
    cache = alignments or manifest.with_name(
        manifest.name.removesuffix(".gz").removesuffix(".jsonl") + ".alignments.jsonl"
    )
    aligned = _align(spoken, cache, phones, workers)
    made = simulate_dataset(rows, out_dir, settings, aligned, motions, workers)
    emit(_summary(made, len(motions), len(spoken)), as_json, _show)


def _align(rows: "list[Row]", cache_path: Path, phones: Path | None, workers: int) -> "dict[str, list[Phone]]":
    if not rows:
        return {}
    from vivavoce.simulate.alignment import AlignmentCache

    cache = AlignmentCache(cache_path)
    if phones is not None:
        known = cache.add_file(rows, phones)
        err.print(f"{known} of {len(rows)} recordings have their phone times in {phones}.", highlight=False)
    return cache.get_many(rows, workers)


def _summary(manifest: Path, with_tracks: int, with_phonemes: int) -> dict[str, Any]:
    from collections import Counter

    from vivavoce.corpus.manifest import read_rows

    rows = read_rows(manifest)
    return {
        "manifest": str(manifest),
        "recordings": len(rows),
        "hours": round(sum(row.duration_s for row in rows) / 3600, 4),
        "speakers": len({row.speaker for row in rows}),
        "kinds": dict(Counter(str(row.meta.kind) for row in rows)),
        "sources_with_motion_tracks": with_tracks,
        "sources_with_phonemes": with_phonemes,
    }


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("Kind", "Recordings")
    for kind, count in result["kinds"].items():
        table.add_row(kind, str(count))
    out.print(table)
    out.print(
        f"{result['recordings']} recordings of {result['speakers']} speakers, {60 * result['hours']:.1f} min: "
        f"{result['manifest']}",
        highlight=False,
        soft_wrap=True,
    )
