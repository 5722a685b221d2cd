"""Which freed blocks stay with the process, looked at in processes of their own."""

import subprocess
import sys

import pytest

from refvae_jax.training.allocator import LARGE_TEMPORARIES

# Prints the resident memory, in MiB, that a filled block of 64 MiB leaves behind when it is freed.
LEAVES = """
import ctypes
from refvae_jax.training import allocator
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    line = next(x for x in open("/proc/self/status") if x.startswith("VmRSS"))
    return int(line.split()[1]) // 1024

{setting}
before = resident()
block = libc.malloc(64 << 20)
ctypes.memset(block, 1, 64 << 20)
assert resident() > before + 60
libc.free(block)
print(resident() - before)
"""


def left_behind(setting):
    """MiB, after the setting."""
    program = LEAVES.format(setting=setting)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ("", False),
        ("assert allocator.keep_memory()", True),
        (
            f"allocator.keep_memory(); assert not allocator.return_large({LARGE_TEMPORARIES})",
            True,
        ),
        (
            f"allocator.keep_memory(); assert allocator.return_large({LARGE_TEMPORARIES + 1})",
            False,
        ),
    ],
)
def test_blocks_stay_until_a_step_is_large(setting, kept):
    assert (left_behind(setting) > 60) == kept
