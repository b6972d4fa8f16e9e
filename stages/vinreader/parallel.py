"""Work shared among processes: results in the order of the tasks, and few of either in memory."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from vinreader.console import UserError

Task, Result = TypeVar("Task"), TypeVar("Result")

MOST_JOBS = 61  # that Windows can wait for
AHEAD = 3  # tasks under way or done for each process, so that none waits for another


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int,
    initializer: Callable,
    arguments: tuple,
) -> Iterator[Result]:
    """`function` of every task, in the order of the tasks, by `jobs` processes.

    Args:
        initializer: called in every process with `arguments` before its first task.

    Raises:
        UserError: a process was ended from outside.
    """
    # Forked processes start at once; they are safe while this one has no other threads.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(jobs, MOST_JOBS), context, _begin, (initializer, arguments))
    tasks = iter(tasks)
    waiting: deque[Future[Result]] = deque()

    def submit(number: int) -> None:
        for task in islice(tasks, number):
            with _without_interrupts():
                waiting.append(pool.submit(function, task))

    try:
        submit(AHEAD * jobs)
        while waiting:
            result = waiting.popleft().result()
            submit(1)
            yield result
    except BrokenProcessPool:
        raise UserError(
            "a reading process was ended from outside, perhaps for want of memory; nothing was "
            "changed. Try again with fewer processes: --jobs 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keeps Ctrl-C for later: it must not meet a process that is just being started."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(initializer: Callable, arguments: tuple) -> None:
    # Ctrl-C goes to every process: the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    initializer(*arguments)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
