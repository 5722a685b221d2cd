"""Keeps the memory of a CPU step from going back to the system after every step.

XLA:CPU allocates the temporary buffers of a step (160 MB for the narrow MNIST networks) anew each
time. glibc maps blocks of that size and unmaps them when they are freed, so that the kernel hands
out and clears 40,000 pages a step: a fifth of the CPU time of a training step.
"""

import ctypes
import sys

# From glibc's malloc.h; the last is the number of arenas, of which only the first keeps its memory.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_memory():
    """Lets freed blocks stay with the process, where the C library is glibc; else does nothing.

    Call it before threads allocate. Costs a few hundred MB of resident memory.

    Returns:
      Whether the library took all three settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, for one.
        return False
    settings = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}
    taken = [mallopt(name, value) for name, value in settings.items()]
    return all(taken)
