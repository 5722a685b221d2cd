"""Keeps the memory of a CPU step from going back to the system after every step.

XLA:CPU allocates the temporary buffers of a step (160 MB for the narrow MNIST networks) anew each
time. glibc maps blocks of that size and unmaps them when they are freed, so that the kernel hands
out and clears 40,000 pages per step: up to a fifth of the CPU time of a training step.

Keeping them costs room for several such buffers, since small blocks settle in the gap that the last
one left: 2.8 to 3.9 GB instead of 1.3 at the peak of configs/mnist_gmvae.py. Where a step's buffers
are large, its convolutions take so long that the pages hardly matter, but the room does.

Compiling leaves thousands of free blocks between used ones. malloc would walk through them whenever
a step asks for a large block, holding its lock: see `fill_gaps`.
"""

import ctypes
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

# From glibc's malloc.h; the last is the number of arenas, of which only the first keeps its memory.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
DEFAULT_MMAP_MAX = 65_536

# Bytes. sRb-VAE at 64x64 and batch 8 has 1.3 GB of them: when they are kept a step takes 4 to 8 %
# less CPU time, and the peak is 3.8 to 6.4 GB instead of 2.3 (jax 0.12.0.1, a shared machine).
LARGE_TEMPORARIES = 10**9

LARGEST_GAP, SMALLEST_GAP = 2**28, 2**14  # Bytes.

ACCELERATORS = ("nvidia[0-9]*", "dxg", "accel*", "vfio/[0-9]*", "kfd")  # Files of /dev.


def only_cpu(platforms: str | None, devices: Path = Path("/dev")) -> bool:
    """Whether JAX will compile for the CPU, decided without starting its backend.

    Args:
      platforms: `jax.config.jax_platforms`, which decides if it is set. If not, an accelerator
        needs a device file, and a plugin of JAX or the TPU library.
      devices: folder of the device files; injected by tests.
    """
    if platforms:
        return platforms.split(",")[0] == "cpu"
    return not has_plugin() or not any(next(devices.glob(name), None) for name in ACCELERATORS)


def has_plugin() -> bool:
    """Whether anything is installed by which JAX reaches an accelerator."""
    modules = map(importlib.util.find_spec, ("jax_plugins", "libtpu"))
    return any(modules) or bool(importlib.metadata.entry_points(group="jax_plugins"))


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where it lacks it, as musl does, or elsewhere."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def _mallopt(settings: Mapping[int, int]) -> bool:
    """Sets {parameter: value} of glibc's malloc; whether it took all, False elsewhere."""
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    # Set all, even if one fails.
    taken = [mallopt(name, value) for name, value in settings.items()]
    return all(taken)


def keep_memory() -> bool:
    """Lets freed blocks stay with the process, where the C library is glibc; else does nothing.

    Call it before the backend starts its threads. Later it often has no effect: in two of three
    runs of the quick start a step then touched 41,000 new pages, else 1,300.

    Returns:
      Whether the library took all three settings.
    """
    return _mallopt({M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1})


def return_large(temporary_bytes: int) -> bool:
    """Undoes `keep_memory` for large blocks, if a step's temporary buffers are large.

    Args:
      temporary_bytes: of the compiled step.

    Returns:
      Whether it was undone.
    """
    return temporary_bytes > LARGE_TEMPORARIES and _mallopt({M_MMAP_MAX: DEFAULT_MMAP_MAX})


def return_unused() -> bool:
    """Returns memory that is free to the system, for good, where the C library is glibc.

    For after a compilation, which leaves more than half of a process's memory free, but in pieces
    that the buffers of a step do not fit: 450 of 840 MB with configs/mnist_gmvae.py:cpu.

    Returns:
      Whether there was any.
    """
    trim = _of_glibc("malloc_trim")
    if trim is None:
        return False
    returned = bool(trim(0))
    fill_gaps()
    trim(0)
    return returned


def fill_gaps() -> int:
    """Allocates the free blocks between used ones for ever; returns their bytes.

    Do it after malloc_trim: then their pages are the system's, and they cost addresses alone. What
    is allocated later lies side by side above them, and a step is quicker: docs/speed.md.
    """
    libc, address = ctypes.CDLL(None), ctypes.c_void_p
    malloc = ctypes.CFUNCTYPE(address, ctypes.c_size_t)(("malloc", libc))
    free = ctypes.CFUNCTYPE(None, address)(("free", libc))
    sbrk = ctypes.CFUNCTYPE(address, ctypes.c_ssize_t)(("sbrk", libc))
    size, filled, end = LARGEST_GAP, 0, sbrk(0) or 0
    while size >= SMALLEST_GAP:
        block = malloc(size)
        if block and block + size <= end:
            filled += size
        else:  # From above all used blocks: there is no such gap.
            free(block)
            size = size * 9 // 10
    return filled
