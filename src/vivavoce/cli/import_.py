"""`vivavoce import`: a corpus becomes a manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, err, out

if TYPE_CHECKING:
    from vivavoce.corpus.importers import Draft

app = typer.Typer(no_args_is_help=True, help="Make a manifest of a corpus: a table, folders, Lhotse, Kaldi.")

OutOption = Annotated[Path, typer.Option("--out", help="The manifest to write, *.jsonl or *.jsonl.gz.")]
RootOption = Annotated[Path | None, typer.Option("--audio-root", help="Where relative audio paths start.")]
ChannelOption = Annotated[int | None, typer.Option("--channel", min=0, help="Channel of files with several, from 0.")]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave bad sound files out instead of stopping.")]
SamplesOption = Annotated[
    bool, typer.Option("--check-samples", help="Decode every file: also finds NaN, silence and clipping.")
]


@app.command("table")
def table(
    file: Annotated[Path, typer.Argument(help="A .csv or .tsv file with the columns path (or file) and speaker.")],
    out_: OutOption,
    audio_root: RootOption = None,
    channel: ChannelOption = None,
    speaker_column: Annotated[str, typer.Option(help="The column that names the speaker.")] = "speaker",
    skip_bad: SkipOption = False,
    check_samples: SamplesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import a table, one recording a line.

    Optional columns: id, text, start_s, duration_s, channel, session, kind, phrase, device, sex, posture, distance_cm,
    probe_hz (tones in Hz, separated by spaces; without it they are detected). Further columns are kept as text. An
    empty cell means unknown.
    """
    from vivavoce.corpus.table import read_table

    root = file.parent if audio_root is None else audio_root
    _import(lambda: read_table(file, audio_root, channel, speaker_column), root, out_, skip_bad, check_samples, as_json)


@app.command("folders")
def folders(
    folder: Annotated[Path, typer.Argument(help="A folder with one folder for each speaker.")],
    out_: OutOption,
    channel: ChannelOption = None,
    skip_bad: SkipOption = False,
    check_samples: SamplesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import folders, one for each speaker, with wav, flac and ogg files at any depth."""
    from vivavoce.corpus.folders import read_folders

    _import(lambda: read_folders(folder, channel), folder, out_, skip_bad, check_samples, as_json)


@app.command("lhotse")
def lhotse(
    manifest: Annotated[Path, typer.Argument(help="A Lhotse manifest of cuts, or of recordings.")],
    out_: OutOption,
    supervisions: Annotated[
        Path | None, typer.Option(help="The manifest of supervisions, where MANIFEST holds recordings.")
    ] = None,
    audio_root: RootOption = None,
    skip_bad: SkipOption = False,
    check_samples: SamplesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import Lhotse cuts, or recordings with supervisions; each supervision becomes a recording."""
    from vivavoce.corpus.lhotse_import import read_lhotse

    read = lambda: read_lhotse(manifest, supervisions, audio_root)  # noqa: E731
    _import(read, manifest, out_, skip_bad, check_samples, as_json)


@app.command("kaldi")
def kaldi(
    folder: Annotated[Path, typer.Argument(help="A Kaldi data folder: wav.scp, utt2spk; segments, text, spk2gender.")],
    out_: OutOption,
    audio_root: RootOption = None,
    channel: ChannelOption = None,
    skip_bad: SkipOption = False,
    check_samples: SamplesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import a Kaldi data folder whose wav.scp names files."""
    from vivavoce.corpus.kaldi import read_kaldi

    _import(lambda: read_kaldi(folder, audio_root, channel), folder, out_, skip_bad, check_samples, as_json)


def _import(
    read: Callable[[], list["Draft"]], root: Path, manifest: Path, skip_bad: bool, check_samples: bool, as_json: bool
) -> None:
    from vivavoce.corpus.importers import finish
    from vivavoce.corpus.manifest import check_name, write_rows

    check_name(manifest)
    imported = finish(read(), root, skip_bad=skip_bad, check_samples=check_samples)
    write_rows(imported.rows, manifest)
    result = {
        "manifest": str(manifest),
        "recordings": len(imported.rows),
        "speakers": len({row.speaker for row in imported.rows}),
        "hours": round(sum(row.duration_s for row in imported.rows) / 3600, 3),
        "sample_rates": sorted({row.sample_rate for row in imported.rows}),
        "skipped": imported.skipped,
    }
    emit(result, as_json, _show)


def _show(result: dict[str, Any]) -> None:
    rates = ", ".join(f"{rate}" for rate in result["sample_rates"])
    out.print(
        f"{result['recordings']} recordings of {result['speakers']} speakers, {result['hours']:.2f} h, {rates} Hz: "
        f"{result['manifest']}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for sentence in result["skipped"]:
        err.print(f"Skipped: {sentence}", highlight=False, markup=False, soft_wrap=True)
