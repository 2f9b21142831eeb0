"""`vivavoce weights`: trunks of other toolkits in and out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from vivavoce.cli.output import JsonOption, emit, out

if TYPE_CHECKING:
    from vivavoce.models.weights.families import Features
    from vivavoce.models.weights.trunk_file import TrunkInfo

app = typer.Typer(no_args_is_help=True, help="Take over speaker networks of other toolkits, or hand ours to them.")

Family = Literal["wespeaker", "speechbrain", "3dspeaker", "tao"]
Architecture = Literal["auto", "xvector", "ecapa", "campplus"]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The checkpoint: .pt, .pth, .ckpt, .bin or .safetensors.")],
    family: Annotated[Family, typer.Option("--from", help="The toolkit that trained it.")],
    out_file: Annotated[Path, typer.Option("--out", help="The .safetensors file to write; a .yaml comes beside it.")],
    architecture: Annotated[Architecture, typer.Option(help="auto: found by the checkpoint's keys.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Make a trunk file of another toolkit's checkpoint, and the piece of configuration that trains on from it."""
    from vivavoce.models.weights.convert import import_checkpoint
    from vivavoce.models.weights.trunk_file import fragment_path

    _check_out(out_file, file, (".safetensors",))
    imported = import_checkpoint(file, family, None if architecture == "auto" else architecture)
    imported.trunk.write(out_file)
    described = _describe(imported.trunk.info, imported.trunk.weights)
    paths = {"file": str(out_file), "config": str(fragment_path(out_file))}
    emit({**paths, **described, "left_out": imported.left_out}, as_json, _show)


@app.command("export")
def export(
    source: Annotated[Path, typer.Argument(help="A run folder, or a trunk file.")],
    family: Annotated[Family, typer.Option("--to", help="The toolkit that is to load it.")],
    out_file: Annotated[Path, typer.Option("--out", help="The .pt or .safetensors file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write a trunk as another toolkit lays it out, without a classifier, and say where its features are others."""
    from vivavoce.models.weights.checkpoint import write_checkpoint
    from vivavoce.models.weights.convert import export_trunk
    from vivavoce.models.weights.families import FAMILIES

    _check_out(out_file, source, (".pt", ".safetensors"))
    config, weights, features = _trunk(source)
    exported = export_trunk(config, weights, family)
    write_checkpoint(out_file, exported)
    away = features.apart(FAMILIES[family].features(features.voice.num_mel_bins))
    differing = {key: {"here": here, "there": there} for key, (here, there) in away.items()}
    result = {"file": str(out_file), "family": family, "keys": len(exported), "differing_features": differing}
    emit(result, as_json, _show_exported)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A trunk file, or another toolkit's checkpoint.")],
    as_json: JsonOption = False,
) -> None:
    """Say what network a file holds, and which features it expects."""
    from vivavoce.models.weights.convert import checkpoint_families, import_checkpoint
    from vivavoce.models.weights.trunk_file import is_trunk_file, read_trunk_file

    if is_trunk_file(file):
        trunk = read_trunk_file(file)
        emit({"file": str(file), **_describe(trunk.info, trunk.weights)}, as_json, _show)
        return
    families = checkpoint_families(file)
    imported = import_checkpoint(file, families[0])
    described = _describe(imported.trunk.info, imported.trunk.weights)
    emit({"file": str(file), **described, "fits": families, "left_out": imported.left_out}, as_json, _show)


def _trunk(source: Path) -> tuple[Any, Any, "Features"]:
    """Config, state dict and features of the trunk of a run or a trunk file."""
    from vivavoce.models.weights.families import Features
    from vivavoce.models.weights.trunk_file import read_trunk_file

    if source.is_dir():
        from vivavoce.verifier import load_run

        run = load_run(source)
        config, front_end = run.config.model, run.config.front_end
        features = Features(front_end.voice, front_end.deltas, config.voice_norm)
        return config.trunk, run.model.trunk.state_dict(), features
    trunk = read_trunk_file(source)
    return trunk.info.trunk, trunk.weights, trunk.info.features


def _check_out(path: Path, source: Path, allowed: tuple[str, ...]) -> None:
    """Refuse a name of another kind, and to write over what is read: a file, or one of a run's."""
    from vivavoce.errors import UserError

    if path.suffix not in allowed:
        raise UserError(f"--out {path} does not end in {' or '.join(allowed)}; change its name.")
    place = path.resolve()
    if path.exists() and source.resolve() in (place, *place.parents):
        raise UserError(f"--out {path} would write over {source}, which is read; give another name.")


def _describe(info: "TrunkInfo", weights: Any) -> dict[str, Any]:
    # Batch norm's running statistics are no parameters.
    counted = [value for key, value in weights.items() if not key.endswith(("running_mean", "running_var"))]
    return {
        "architecture": info.trunk.type,
        "family": info.family,
        "embedding_dim": info.trunk.embedding_dim,
        "parameters": sum(value.numel() for value in counted),
        "trunk": info.trunk.model_dump(mode="json"),
        "voice": info.voice.model_dump(mode="json"),
        "deltas": info.deltas,
        "voice_norm": info.voice_norm.model_dump(mode="json"),
        "source_sha256": info.source_sha256,
    }


def _show_exported(result: dict[str, Any]) -> None:
    from vivavoce.models.weights.convert import shown
    from vivavoce.models.weights.families import FAMILIES

    title, away = FAMILIES[result["family"]].title, result["differing_features"]
    _line("File", result["file"])
    _line("Weights", f"{result['keys']}, laid out as {title} does")
    # Of features of another type the other keys say nothing.
    told = [key for key in away if key.endswith(".type") or f"{key.rpartition('.')[0]}.type" not in away]
    listed = ", ".join(f"{key} is {shown(away[key]['here'])} and there {shown(away[key]['there'])}" for key in told)
    others = f"not those that {title} computes: {listed}; give its network the former"
    _line("Voice features", others if away else f"those that {title} computes")


def _line(name: str, text: str) -> None:
    out.print(f"[bold]{name:16}[/]{escape(text)}", highlight=False, soft_wrap=True)


def _show(result: dict[str, Any]) -> None:
    from vivavoce.models.weights.families import FAMILIES

    title = FAMILIES[result["family"]].title
    _line("File", result["file"])
    _line("Network", f"{result['architecture']} of {title}, {result['parameters'] / 1e6:.3f} M parameters")
    _line("Embedding", f"{result['embedding_dim']} values")
    voice = result["voice"]
    edges = f"{voice['low_freq']:g} Hz to {voice['high_freq'] or voice['sample_rate'] / 2:g} Hz"
    _line(
        "Voice features", f"{voice['num_mel_bins']} mel bins from {edges}, {voice['window']} window ({voice['type']})"
    )
    if len(fits := result.get("fits", [])) > 1:
        _line("Fits", f"{' and '.join(fits)} alike; the features above are those of {title}")
    if result.get("left_out"):
        _line("Left out", ", ".join(result["left_out"]))
    if "config" in result:
        _line("Configuration", result["config"])
