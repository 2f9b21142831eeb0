"""Progress bars on standard error, shown only when the work takes long enough to be noticed."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

# A bar for work that ends at once only flickers.
SHOW_AFTER_S = 1.0


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function ``advance(steps)`` that moves a progress bar on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(description, total=total)
    began = time.monotonic()
    started = False

    def advance(steps: int = 1) -> None:
        nonlocal started
        if not started and time.monotonic() - began > SHOW_AFTER_S:
            progress.start()
            started = True
        progress.advance(task, steps)

    try:
        yield advance
    finally:
        if started:
            progress.stop()


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` and move a progress bar with them."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # pyright: ignore[reportArgumentType]
    with progress_bar(description, total) as advance:
        for item in items:
            yield item
            advance(1)
