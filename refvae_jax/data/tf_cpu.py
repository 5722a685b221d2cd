"""TensorFlow for reading data only: imported late, because it costs seconds, and without a GPU."""

import contextlib
from types import ModuleType


def import_tensorflow() -> ModuleType:
    """Returns the module `tensorflow`, kept off the GPUs, whose memory belongs to JAX."""
    import tensorflow as tf

    # In a notebook TensorFlow may have started already; then the choice is no longer ours.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return tf
