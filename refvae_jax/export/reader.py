"""This folder's model: encode(images) and decode(codes), by jax and numpy alone; see README.md."""
import sys
from pathlib import Path

import jax.export
import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # For flatbuffers, which jax.export reads files with.
ARRAYS = dict(np.load(HERE / "parameters.npz"))

def _apply(call, tree, size=256):  # So many rows at a time, the last one repeated: compiled once.
    count = len(jax.tree.leaves(tree)[0])
    parts = [np.arange(i, i + size).clip(max=count - 1) for i in range(0, count, size)]
    made = [jax.device_get(call(ARRAYS, jax.tree.map(lambda x, i=i: x[i], tree))) for i in parts]
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *made)

encode, decode = (jax.tree_util.Partial(_apply, jax.jit(jax.export.deserialize(
    bytearray((HERE / f"{name}.jax").read_bytes())).call)) for name in ("encode", "decode"))
