"""From footage and spike recordings to training batches (TensorFlow and NumPy)."""

import os

# TensorFlow reads these once, when it is first imported. Its notices would bury the
# lines meant for the user, and oneDNN's kernels round differently from one processor
# to another, which batches must not.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
