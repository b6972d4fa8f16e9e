"""What only the workflow needs: data, handwriting, the network and its scores.

It imports `vinreader`, the reading part, never the other way round.
"""

import os

from vintraining.model.processor import ENVIRONMENT

# Before NumPy, OpenCV and TensorFlow are loaded: results must not depend on the processor.
os.environ |= ENVIRONMENT

import cv2

# The images are so small that OpenCV's threads cost more than they bring, and forking is safe
# only without them.
cv2.setNumThreads(1)
