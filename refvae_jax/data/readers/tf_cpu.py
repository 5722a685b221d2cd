"""TensorFlow for reading data only: imported late, since it takes seconds, and without a GPU."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import TextIO


def import_tensorflow() -> ModuleType:
    """Returns the module `tensorflow`, kept off the GPUs, whose memory belongs to JAX."""
    # Its first import prints about drivers and rounding, before any log level applies.
    with stderr_held_back():
        import tensorflow as tf

        # In a notebook TensorFlow may be initialised already; then the choice is the user's.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Drops what native code writes to stderr in the block; prints it if the block raises.

    What Python prints there, as other threads may meanwhile, is seen.
    """
    seen = _stderr() if sys.stderr is sys.__stderr__ else sys.stderr  # That of notebooks.
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            with contextlib.redirect_stderr(seen):
                yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@functools.cache
def _stderr() -> TextIO:
    """Writes where stderr led when first asked for; stays open, since loggers hold on to it."""
    return os.fdopen(os.dup(2), "w", buffering=1)
