"""Work on many images shared by the processor's cores: the same results, sooner.

What processes need is imported when they are started: most readings are of a card or two.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from vinreader.console import text
from vinreader.spec import UserError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

MANY = 10_000  # images for which starting processes pays
MOST = 61  # processes that Windows can wait for
AHEAD = 3  # pieces under way or done for each process, so that none waits for another
RESPONSE = 0.1  # seconds in which Ctrl-C is seen
FORKS = sys.platform == "linux"


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def suggested(images: int) -> int:
    """How many processes to share work on so many images."""
    return cores() if images >= MANY else 1


def in_order(
    function: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    processes: int,
    begin: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """The function's result of each piece, one after the other, whichever process made it.

    Few pieces and results are held at a time, however many there are.

    Args:
        function: of a module, of one argument; its result must follow from that alone.
        pieces: what to share.
        processes: how many to use; 1 is this one.
        begin: called with `arguments` in every process before its first piece.

    Raises:
        UserError: a process was ended from outside.
    """
    if processes == 1:
        if begin:
            begin(*arguments)
        yield from map(function, pieces)
        return
    with _interrupts_held() as interrupted:
        yield from _shared(function, pieces, processes, interrupted, begin, arguments)


def _shared(
    function: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    processes: int,
    interrupted: Callable[[], bool],
    begin: Callable[..., None] | None,
    arguments: tuple[Any, ...],
) -> Iterator[Result]:
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    # Forked workers start at once and do not run the caller's script again, as spawned ones do.
    # All of them are forked with the first piece.
    context = multiprocessing.get_context("fork" if FORKS else "spawn")
    pool = ProcessPoolExecutor(min(processes, MOST), context, _begin, (begin, arguments))
    waiting: deque[Future[Any]] = deque()
    pieces = iter(pieces)

    def submit(number: int) -> None:
        waiting.extend(pool.submit(function, piece) for piece in islice(pieces, number))

    try:
        with _opencv_without_threads():
            submit(AHEAD * processes)
        while waiting and not interrupted():
            if wait([waiting[0]], timeout=RESPONSE).done:
                result = waiting.popleft().result()
                submit(1)
                yield result
    except BrokenProcessPool:
        if not interrupted():
            raise UserError(text("ended")) from None
    finally:
        if interrupted():  # what is being done may take long, and nobody wants it
            for worker in multiprocessing.active_children():
                worker.kill()  # one just forked still defers SIGTERM as this process does
        pool.shutdown(cancel_futures=True)


@contextmanager
def _opencv_without_threads() -> Iterator[None]:
    """Ends OpenCV's threads for the block in which workers are forked, which inherit one thread.

    A forked process has none of the threads, only the record of them: OpenCV would wait for them
    for ever. Here they start again when they are next needed.
    """
    cv2 = sys.modules.get("cv2")  # its import takes as long as the start of a process
    if not cv2:
        yield
        return
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def _interrupts_held() -> Iterator[Callable[[], bool]]:
    """Defers Ctrl-C and SIGTERM to the end of the block; gives a function that tells whether one
    came.

    They are raised wherever Python happens to be. Where a pool of processes takes a lock, that
    leaves the lock taken, and the pool waits for ever; where an object is deleted, it is lost.
    A mask would not do: another thread would take the signal, and Python would still interrupt
    this one.
    """
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # which is not interrupted anyway
        return
    came: list[int] = []
    deferred = (signal.SIGINT, signal.SIGTERM)
    before = {s: signal.signal(s, lambda number, _: came.append(number)) for s in deferred}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    import threading

    if not FORKS:
        import cv2

        cv2.setNumThreads(1)  # the images are small, and every core has a process
    # Ctrl-C goes to every process: the one that started the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin:
        begin(*arguments)


def _end_with_parent() -> None:
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
