"""The interpreter of an exported model: normalised characters in, logits out."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vinreader.spec import CHARACTERS, SIDE

NOTHING = 1.01  # a threshold above every confidence: all readings go to a person
BATCH = 4  # images in one call of the interpreter: what it keeps of more leaves the cache


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float64 (N, 33), of logits (N, 33) divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


@contextmanager
def notes_held() -> Iterator[None]:
    """Holds back what LiteRT's C++ code notes on standard error, which nothing else can; all but
    notes is passed on. For processes of this program's own: others have threads that write there.
    """
    try:
        screen = os.dup(2)
    except OSError:  # a program without standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not line.startswith(b"INFO: ")))


class LiteRT:
    """The interpreter of the content of a .tflite file, with so many threads.

    Raises: ValueError, RuntimeError where it is no model, or one that reads other things.
    """

    def __init__(self, model: bytes, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        shapes = self._input["shape"][1:].tolist(), self._output["shape"][1:].tolist()
        if shapes != ([SIDE, SIDE, 1], [len(CHARACTERS)]):
            raise ValueError(f"reads {self._input['shape']} into {self._output['shape']}")
        index, shape = self._input["index"], (BATCH, SIDE, SIDE, 1)
        self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._images = np.zeros(shape, np.float32)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Logits, float32 (N, 33), of uint8 (N, 28, 28) normalised characters."""
        logits = np.empty((len(pixels), len(CHARACTERS)), np.float32)
        for start in range(0, len(pixels), BATCH):
            batch = pixels[start : start + BATCH]
            self._images[: len(batch), ..., 0] = batch  # of a last batch the rest is not used
            self._interpreter.set_tensor(self._input["index"], self._images)
            self._interpreter.invoke()
            read = self._interpreter.get_tensor(self._output["index"])
            logits[start : start + BATCH] = read[: len(batch)]
        return logits
