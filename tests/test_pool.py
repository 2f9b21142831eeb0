import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from vivavoce.errors import UserError
from vivavoce.features.extractor import one_thread
from vivavoce.pool import ordered, spawn_pool


def test_results_come_in_the_order_of_the_tasks_and_so_many_are_begun_ahead():
    begun: list[int] = []
    gate = threading.Event()

    def work(task: int) -> int:
        if task == 0:
            gate.wait(10)  # the first takes longest
        return task * task

    def tasks():
        for task in range(9):
            begun.append(task)
            yield task

    with ThreadPoolExecutor(3) as pool:
        results = ordered(pool, work, tasks(), ahead=3)
        gate.set()
        assert next(results) == (0, 0)
        assert begun == [0, 1, 2, 3]
        assert list(results) == [(task, task * task) for task in range(1, 9)]


def test_an_error_comes_in_its_turn_and_what_waits_is_not_begun():
    done: list[int] = []

    def work(task: int) -> int:
        if task == 2:
            raise UserError("The third is bad.")
        done.append(task)
        return task

    with ThreadPoolExecutor(1) as pool:
        results = ordered(pool, work, range(100), ahead=2)
        assert [task for task, _ in (next(results), next(results))] == [0, 1]
        with pytest.raises(UserError, match="third"):
            next(results)
    assert max(done) <= 5


def test_a_worker_that_dies_is_one_sentence():
    pool = spawn_pool(1)
    with pytest.raises(UserError, match="fewer workers"):
        list(ordered(pool, os._exit, [1], ahead=1))
    pool.shutdown()


def test_one_thread_is_for_a_while_and_ends_with_an_error_too():
    before = torch.get_num_threads()
    inside = []

    def fail() -> None:
        with one_thread():
            inside.append(torch.get_num_threads())
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert inside == [1]
    assert torch.get_num_threads() == before


ORPHANS = """
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
from vivavoce.pool import spawn_pool

if __name__ == "__main__":
    pool = spawn_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes as Linux shows them")
def test_workers_end_with_a_process_that_was_killed(tmp_path):
    program = tmp_path / "orphans.py"
    program.write_text(ORPHANS)
    parent = subprocess.Popen([sys.executable, program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert Path(f"/proc/{worker}").exists()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and "Z" not in _state(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"
