"""Work on many images shared by the processor's cores: the same results, sooner."""

import multiprocessing
import os
import sys

MANY = 10_000  # images for which starting processes pays


def suggested(images):
    """How many processes to share work on so many images."""
    return os.cpu_count() if images >= MANY else 1


def in_order(function, pieces, processes):
    """The function's result of each piece, one after the other, whichever process made it.

    Args:
        function: of a module, of one argument; its result must follow from that alone.
        pieces: what to share, a sequence.
        processes: how many to use; 1 is this one.
    """
    if processes == 1:
        yield from map(function, pieces)
        return
    # Forked workers start at once and do not run the caller's script again, as spawned ones do.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with context.Pool(processes) as pool:
        yield from pool.imap(function, pieces)
