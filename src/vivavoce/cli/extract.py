"""`vivavoce extract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out

if TYPE_CHECKING:
    from vivavoce.features.plan import Estimate


def extract(
    manifest: Annotated[Path, typer.Argument(help="The recordings.")],
    out_dir: Annotated[Path, typer.Option("--out", help="The store to write: a folder.")],
    copies: Annotated[
        int | None,
        typer.Option(min=1, help="Versions of each recording: the first as it is, the others augmented."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The experiment as YAML, whose front_end, features and seed count.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the config; repeatable."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: training.workers.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the copies. Default: the config's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Augment and extract features once, into a store that training reads (features.store).

    Stopped, the same command goes on; on a store that is whole it looks for damage and for recordings that have
    changed, and makes only these anew.
    """
    import json

    from vivavoce.config import ExperimentConfig
    from vivavoce.corpus.manifest import read_rows
    from vivavoce.features.extract import extract_store
    from vivavoce.settings import load_settings

    given = [] if config else [f"data.{part}={json.dumps(str(manifest))}" for part in ("train", "validation")]
    given += [] if copies is None else [f"features.copies={copies}"]
    given += [] if seed is None else [f"features.seed={seed}"]
    settings = load_settings(ExperimentConfig, config, [*(overrides or []), *given])
    spec = settings.store_spec()
    plan = extract_store(read_rows(manifest), spec, out_dir, workers or settings.training.workers, announce=_announce)
    size = sum(path.stat().st_size for path in out_dir.iterdir())
    emit({"store": str(out_dir), **plan.estimate._asdict(), "bytes": size}, as_json, _show)


def _announce(estimate: "Estimate") -> None:
    err.print(
        f"{estimate.recordings} recordings in {estimate.slots} versions, {estimate.hours:.2f} h of sound: about "
        f"{estimate.bytes / 1e6:,.1f} MB of features.",
        highlight=False,
    )


def _show(result: dict[str, Any]) -> None:
    out.print(
        f"{result['slots']} versions of {result['recordings']} recordings, {result['bytes'] / 1e6:,.1f} MB in "
        f"{result['shards']} shard{'' if result['shards'] == 1 else 's'}: {result['store']}",
        highlight=False,
        soft_wrap=True,
    )
