"""Work in other processes, in order, with so much prepared ahead and no more."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from vivavoce.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")


def spawn_pool(workers: int, start: Callable[..., Any] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Start processes with one thread each; ``start(*arguments)`` runs first in each of them.

    They are spawned, not forked: a forked copy of a thread pool (of BLAS, of torch) can hang.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin, (start, arguments))


def _begin(start: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if start is not None:
        start(*arguments)
    # For good, and behind what the start has loaded: threads of small matrix products only wait for each other.
    threadpool_limits(1)


def _end_with(parent: Any) -> None:
    """End this process with its parent: one that was killed cannot tell its workers, and they would wait for ever."""
    parent.join()
    os._exit(1)


def ordered(
    pool: Executor, work: Callable[[Task], Result], tasks: Iterable[Task], ahead: int, worker: str = "worker"
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with its result in the order of ``tasks``, at most ``ahead`` of them begun before their turn.

    Raises:
        UserError: a worker died; the sentence calls it what ``worker`` says.
    """
    waiting: deque[tuple[Task, Future[Result]]] = deque()
    try:
        for task in tasks:
            waiting.append((task, pool.submit(work, task)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"A {worker} died, most likely for lack of memory; run the same command again with fewer workers, and it "
            'goes on from what is done (a script of your own needs `if __name__ == "__main__":` around its work).'
        ) from error
    finally:
        for _, future in waiting:
            future.cancel()
