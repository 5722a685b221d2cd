"""Which freed blocks stay with the process, each tested in a process of its own."""

import subprocess
import sys

import pytest

from refvae_jax.training import allocator
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
small = libc.malloc(64)  # Above it, so that nothing is returned from the end.
libc.free(block)
{then}
print(resident() - before)
"""


def left_behind(setting, then=""):
    """MiB, after the setting before it is filled and the call after it is freed."""
    program = LEAVES.format(setting=setting, then=then)
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


@pytest.mark.parametrize(
    ("platforms", "plugin", "file", "expected"),
    [
        ("cpu", True, "nvidia0", True),
        ("cuda,cpu", False, "", False),
        ("tpu", False, "", False),
        (None, False, "nvidia0", True),
        (None, True, "", True),
        ("", True, "nvidiactl", True),
        ("", True, "nvidia0", False),
        (None, True, "accel0", False),
        (None, True, "vfio/12", False),
        (None, True, "kfd", False),
    ],
)
def test_where_jax_will_compile_is_known_before_it_starts(
    tmp_path, monkeypatch, platforms, plugin, file, expected
):
    monkeypatch.setattr(allocator, "has_plugin", lambda: plugin)
    if file:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert allocator.only_cpu(platforms, tmp_path) == expected


def test_a_plugin_is_a_module_or_an_entry_point(tmp_path, monkeypatch):
    monkeypatch.setattr(allocator.importlib.metadata, "entry_points", lambda group: [])
    monkeypatch.setattr(allocator.importlib.util, "find_spec", lambda name: None)
    assert not allocator.has_plugin()
    monkeypatch.setattr(allocator.importlib.metadata, "entry_points", lambda group: [group])
    assert allocator.has_plugin()
    monkeypatch.undo()
    (tmp_path / "libtpu").mkdir()
    (tmp_path / "libtpu" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert allocator.has_plugin()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_unused_blocks_are_returned_on_request():
    assert left_behind("allocator.keep_memory()", "assert allocator.return_unused()") < 10


# Leaves gaps of 100 kB between used blocks, and asks for as large blocks again.
GAPS = """
import ctypes
from refvae_jax.training import allocator

allocator.keep_memory()
malloc = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(("malloc", ctypes.CDLL(None)))
free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(("free", ctypes.CDLL(None)))
blocks = [malloc(100_000) for _ in range(600)]
gaps = set(blocks[::2])
for block in gaps:
    free(block)
taken = allocator.fill_gaps() if {fill} else 0
print(taken, len(gaps & {{malloc(100_000) for _ in range(300)}}))
"""


@pytest.mark.skipif(allocator._of_glibc("malloc_trim") is None, reason="the C library is no glibc")
@pytest.mark.parametrize("fill", [True, False])
def test_gaps_are_filled_and_not_given_out_again(fill):
    done = subprocess.run(
        [sys.executable, "-c", GAPS.format(fill=fill)], capture_output=True, text=True, check=True
    )
    taken, given_out = map(int, done.stdout.split())
    assert (taken > 200 * 90_000) == fill and (given_out < 10 if fill else given_out > 200)
