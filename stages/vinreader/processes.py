"""Work on many images shared by the processor's cores: the same results, sooner.

The standard library's pool does the sharing; here stands what it leaves to its users. Ctrl+C where
it takes a lock would hang it, at once it does not end, and its workers outlive a killed parent
(`multiprocessing.Pool` would even wait for ever for a killed worker; loky is another dependency).

What processes need is imported when they are started: most readings are of a card or two.
"""

import os
import signal
import sys
import threading
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
    """The function's result of each piece, one after the other, whichever process made it; few of
    either are held at a time.

    function: of a module; its result must follow from the piece alone. processes: 1 is this one.
    begin: called with `arguments` in every process before its first piece.

    Raises: UserError where a process was ended from outside.
    """
    if processes == 1:
        if begin:
            begin(*arguments)
        yield from map(function, pieces)
        return
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    # Forked workers, all with the first piece, do not run the caller's script as spawned ones do.
    context = multiprocessing.get_context("fork" if FORKS else "spawn")
    waiting: deque[Future[Result]] = deque()
    pieces = iter(pieces)
    with _interrupts_held() as interrupted:
        pool = ProcessPoolExecutor(min(processes, MOST), context, _begin, (begin, arguments))

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
    """Ends OpenCV's threads for the block in which workers are forked: those have none of the
    threads, only the record of them, and would wait for them for ever."""
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

    They are raised wherever Python happens to be: where a pool takes a lock, it stays taken; where
    an object is deleted, they are lost. A mask would not do: another thread would take the signal,
    and Python would still interrupt this one.
    """
    came: list[int] = []
    interrupted = threading.current_thread() is threading.main_thread()  # no other thread ever is
    deferred = (signal.SIGINT, signal.SIGTERM) if interrupted else ()
    before = {s: signal.signal(s, lambda number, _: came.append(number)) for s in deferred}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
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
