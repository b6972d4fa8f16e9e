"""The Keras network as a LiteRT flatbuffer, which is what readers run."""

import contextlib
import io
import tempfile

from vintraining.model.quiet import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

from vinreader.files import naming


def to_litert(network: keras.Model, int8: bool = False) -> bytes:
    """The LiteRT flatbuffer of the network: float32 (N, SIDE, SIDE, 1) to logits float32 (N, 33).

    Args:
        int8: hold the weights as 8-bit integers. Each image's activations are brought to 8 bits
            while it is read, with a scale of their own, so nothing has to be calibrated and no
            image's reading depends on the others'.

    Raises:
        OSError: there is no room in the folder for temporary files.
    """
    # The converter writes the network there; where it cannot, it fails with an error that is
    # about something else.
    with naming(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        file.write(bytes(8 * network.count_params() + 1_000_000))
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with contextlib.redirect_stdout(io.StringIO()):
        model: bytes = converter.convert()
    return model
