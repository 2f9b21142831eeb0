"""`vivavoce server notebook` and `tensorboard`: a page of the server in the browser here."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from vivavoce.cli.output import JsonOption, emit, err, out
from vivavoce.cli.server.connecting import connect
from vivavoce.errors import UserError

if TYPE_CHECKING:
    from vivavoce.server.jobs import Devices
    from vivavoce.server.notebook import Kind, Page

SHOWN = ("DISPLAY", "WAYLAND_DISPLAY")

NameArgument = Annotated[str, typer.Argument(help="The server, by the name of its profile.", show_default=False)]
PortOption = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port of this machine. Default: one that is free.")
]
BrowserOption = Annotated[bool, typer.Option(help="Open the browser; with --json, none is opened.")]
KeepOption = Annotated[
    bool, typer.Option("--keep", help="Leave it running at the end, and come back to one that was left so.")
]
IdleOption = Annotated[
    float,
    typer.Option(min=0.01, help="Hours without use after which it ends by itself, should this machine be gone."),
]


def notebook(
    name: NameArgument,
    folder: Annotated[str, typer.Argument(help="Where it opens: below the work folder, or absolute.")] = ".",
    gpus: Annotated[int, typer.Option(min=0, help="Free GPUs for the notebooks.")] = 0,
    gpu: Annotated[list[int] | None, typer.Option(min=0, help="Just this GPU, by its index; repeatable.")] = None,
    share: Annotated[bool, typer.Option("--share", help="Take GPUs that somebody else uses, too.")] = False,
    local_port: PortOption = None,
    browser: BrowserOption = True,
    keep: KeepOption = False,
    idle_hours: IdleOption = 12.0,
    as_json: JsonOption = False,
) -> None:
    """Open JupyterLab of the server here, through a tunnel; Ctrl-C ends both."""
    from vivavoce.server.notebook import Kind

    _serve(name, Kind.NOTEBOOK, [folder], local_port, browser, keep, idle_hours, as_json, _devices(gpus, gpu, share))


def tensorboard(
    name: NameArgument,
    folders: Annotated[
        list[str] | None, typer.Argument(help="Runs, or folders of runs. Default: runs, in the work folder.")
    ] = None,
    local_port: PortOption = None,
    browser: BrowserOption = True,
    keep: KeepOption = False,
    idle_hours: IdleOption = 12.0,
    as_json: JsonOption = False,
) -> None:
    """Open TensorBoard of runs on the server here, through a tunnel; Ctrl-C ends both."""
    from vivavoce.server.notebook import Kind

    _serve(name, Kind.TENSORBOARD, folders or ["runs"], local_port, browser, keep, idle_hours, as_json)


def _devices(gpus: int, wanted: list[int] | None, share: bool) -> "Devices | None":
    from vivavoce.server.jobs import Devices

    if wanted and gpus not in (0, len(wanted)):
        raise UserError(f"--gpus {gpus} and {len(wanted)} of --gpu do not agree; leave one of them out.")
    if not gpus and not wanted:
        if share:
            raise UserError("--share is about GPUs; add --gpus or --gpu, or leave it out.")
        return None
    return Devices(gpus or len(wanted or ()), tuple(wanted or ()), share)


def _serve(
    name: str,
    kind: "Kind",
    folders: list[str],
    local_port: int | None,
    browser: bool,
    keep: bool,
    idle_hours: float,
    as_json: bool,
    devices: "Devices | None" = None,
) -> None:
    connection = connect(name)
    from vivavoce.server.notebook import open_page

    _tell(f"{kind.title} is starting on {name} …")
    # A terminal that is closed, too, must not leave it running there.
    with _ends_like_ctrl_c("SIGTERM", "SIGHUP"):
        try:
            with open_page(
                connection,
                name,
                kind,
                folders,
                idle_s=idle_hours * 3600,
                keep=keep,
                devices=devices,
                local_port=local_port,
                tell=_tell,
            ) as page:
                emit({**page.to_dict(), "kept": keep}, as_json, lambda _: _show(page, keep))
                if browser and not as_json:
                    _browse(page.url)
                job = page.watch(_tell)
                _tell(f"{kind.title} has ended on {name} ({job.state}).")
        except KeyboardInterrupt:
            return
    if job.state == "failed":
        raise UserError(
            f"{kind.title} on {name} ended with exit code {job.code}; `vivavoce server log {name} {job.id}` shows why."
        )


def _show(page: "Page", keep: bool) -> None:
    gpus = ", ".join(f"GPU {gpu['index']}" for gpu in page.job.gpus)
    where = f"{page.kind.title} of {page.name}, as job {page.job.id}" + f" on {gpus}" * bool(gpus) + ":"
    out.print(where, highlight=False, markup=False, soft_wrap=True)
    out.print(page.url, style="bold", highlight=False, markup=False, soft_wrap=True)
    ends = "closes the tunnel and leaves it running" if keep else "ends it and the tunnel"
    out.print(f"Ctrl-C {ends}.", style="dim", highlight=False)


def _tell(sentence: str) -> None:
    err.print(escape(sentence), highlight=False, soft_wrap=True)


def _browse(url: str) -> None:
    """Open the browser; where there is no screen, a text browser would take the terminal, so none is opened."""
    import webbrowser

    if sys.platform == "linux" and not any(os.environ.get(name) for name in SHOWN):
        return
    webbrowser.open(url)


@contextmanager
def _ends_like_ctrl_c(*names: str) -> Iterator[None]:
    """Let signals of these names, where the system has them, end the work as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
