"""`vivavoce gpus`: the GPUs of this machine, and the table that `vivavoce server gpus` shows, too."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console, Group

    from vivavoce.server.gpus import Gpu, GpuProcess, Instance

WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Refresh the table in place until Ctrl-C.")]
EveryOption = Annotated[float, typer.Option(min=0.2, help="Seconds between two looks, for --watch.")]
BAR = 10
MEMORY = BAR + 14  # the bar, and what is used of what there is
SPANS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))  # a time is told in the first unit that it fills


def gpus(watch: WatchOption = False, every: EveryOption = 2.0, as_json: JsonOption = False) -> None:
    """Show every GPU of this machine: memory, utilisation, temperature, and whose the processes on it are."""
    from vivavoce.server.gpus_local import local_gpus

    show_gpus(local_gpus, None, watch=watch, every=every, as_json=as_json)


def show_gpus(read: Callable[[], list["Gpu"]], server: str | None, *, watch: bool, every: float, as_json: bool) -> None:
    """Print what ``read`` says once, or again and again.

    Raises:
        UserError: it cannot be read at all, or --watch has nothing to refresh.
    """
    if watch and as_json:
        raise UserError("--json prints one document and --watch refreshes a table; leave one of them out.")
    if watch and not out.is_terminal:
        raise UserError("--watch refreshes a table in place, and the output is no terminal; leave it out.")
    found = read()
    if watch:
        watch_gpus(read, found, every, out)
        return
    result = {"server": server, "gpus": [gpu.to_dict() for gpu in found]}
    emit(result, as_json, lambda _: out.print(table(found, time.time())))


def watch_gpus(read: Callable[[], list["Gpu"]], found: list["Gpu"], every: float, console: "Console") -> None:
    """Show the table, and refresh it in place until Ctrl-C; a look that fails is said below it and tried again."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    said = Text()
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            foot = said or Text(f"{time.strftime('%H:%M:%S')}, every {every:g} s; Ctrl-C ends.", "dim")
            live.update(Group(table(found, time.time()), Text(), foot), refresh=True)
            time.sleep(every)
            try:
                found, said = read(), Text()
            except UserError as error:
                said = Text(f"{time.strftime('%H:%M:%S')}: {error} Trying again.", "red")


def table(found: Sequence["Gpu"], now: float) -> "Group":
    """A line for each GPU, and below it one for each MIG instance and process; ``now`` in seconds of the epoch."""
    from rich.console import Group
    from rich.text import Text

    names = max([5, *(len(_model(gpu)) for gpu in found), *(len(i.name) + 2 for gpu in found for i in gpu.mig)])
    users = max([4, *(len(p.user or "?") for gpu in found for p in gpu.processes)])
    heads = [
        (f"GPU  {'Model':<{names}}  {'Memory in GiB':<{MEMORY}}   Use    Temp", "bold"),
        (f"     {'User':<{users}}  {'PID':>8}  {'GiB':>5}  {'Since':<19}  Command", "dim"),
    ]
    lines = [line for gpu in found for line in _lines(gpu, names, users, now)]
    # A command may hold signs that move the cursor.
    plain = (("".join(sign if sign.isprintable() else "?" for sign in line), style) for line, style in heads + lines)
    return Group(*(Text(line, style, no_wrap=True, overflow="ellipsis") for line, style in plain))


def _lines(gpu: "Gpu", names: int, users: int, now: float) -> Iterator[tuple[str, str]]:
    free = gpu.free
    use = "" if gpu.utilisation is None else f"{gpu.utilisation:.0%}"
    temperature = "" if gpu.temperature_c is None else f"{gpu.temperature_c} °C"
    facts = f"{_memory(gpu)}  {use:>4}  {temperature:>6}"
    shown = gpu.mig or any(not process.graphics for process in gpu.processes)
    state = gpu.fault or ("free" if gpu.uuid in free else "" if shown else "user not shown")
    style = "red" if gpu.fault else "bold green" if free else "bold"
    yield f"{gpu.index:>3}  {_model(gpu):<{names}}  {facts}  {state}".rstrip(), style
    for instance in gpu.mig:
        state = "free" if instance.uuid in free else ""
        style = "green" if state else "none"
        yield f"     {'  ' + instance.name:<{names}}  {_memory(instance)}  {'':>4}  {'':>6}  {state}".rstrip(), style
        yield from (_process(one, users, now) for one in gpu.processes if one.mig == instance.uuid)
    parts = {instance.uuid for instance in gpu.mig}
    yield from (_process(one, users, now) for one in gpu.processes if one.mig not in parts)


def _model(gpu: "Gpu") -> str:
    return gpu.name.removeprefix("NVIDIA ")


def _memory(device: "Gpu | Instance") -> str:
    total, used = device.memory_total_mib, device.memory_used_mib
    if not total:
        return " " * MEMORY
    filled = min(round(BAR * used / total), BAR)
    return f"{'█' * filled}{'░' * (BAR - filled)} {used / 1024:>5.1f} / {total / 1024:>5.1f}"


def _process(process: "GpuProcess", users: int, now: float) -> tuple[str, str]:
    memory = "" if process.memory_mib is None else f"{process.memory_mib / 1024:.1f}"
    since = ""
    if process.since is not None:
        since = f"{time.strftime('%d %b %H:%M', time.localtime(process.since))} ({_span(now - process.since)})"
    line = f"     {process.user or '?':<{users}}  {process.pid:>8}  {memory:>5}  {since:<19}  {process.short}"
    return line, "dim" if process.graphics else "none"


def _span(seconds: float) -> str:
    """A time in its largest unit, such as 3 h; a start by a clock that is ahead of ours is now."""
    size, unit = next((span for span in SPANS if seconds >= span[0]), SPANS[-1])
    return f"{max(int(seconds // size), 0)} {unit}"
