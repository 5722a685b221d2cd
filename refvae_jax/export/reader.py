"""This folder's model: encode(images) and decode(codes), by jax and numpy alone; see README.md."""
import sys
from pathlib import Path

import jax.export
import numpy as np

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # For flatbuffers, which jax.export reads files with.
ARRAYS = dict(np.load(HERE / "parameters.npz"))

def _form(tree):
    return jax.tree.map(lambda x: (x.dtype, x.shape[1:]), tree)

def _load(name, size=256):  # Computes `size` rows at a time, the last one repeated: compiled once.
    program = jax.export.deserialize(bytearray((HERE / f"{name}.jax").read_bytes()))
    (_, wanted), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    call = jax.jit(program.call)
    def apply(tree):
        if _form(tree) != _form(wanted) or not (count := len(jax.tree.leaves(tree)[0])):
            raise ValueError(f"{name} takes {wanted}, NumPy arrays with b of 1 or more.")
        rows = [np.arange(i, i + size).clip(max=count - 1) for i in range(0, count, size)]
        parts = [jax.tree.map(lambda x, i=i: x[i], tree) for i in rows]
        made = [jax.device_get(call(ARRAYS, part)) for part in parts]
        return jax.tree.map(lambda *x: np.concatenate(x)[:count], *made)
    return apply

encode, decode = _load("encode"), _load("decode")
