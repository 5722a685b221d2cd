"""How a batch that several devices share is computed without sending images between them.

on_real, on_made = together(network, real, made)    # network(all), and its output for each set
codes = gathered(codes)                             # of the whole batch, on every device

On several devices each has its share of every set, [B / devices, ...]. One set after the other, as
`jnp.concatenate` puts them, would give the first device images of the first set only: each would
have to be sent there, at every layer's edge. So the sets are joined within each share. On one
device, and for a replica of `parallel.map = "pmap"`, that is `jnp.concatenate`.

How many devices share the batch is asked of the mesh that the step is traced for, which
`training/devices.py` sets.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

Tree = TypeVar("Tree")


def together(function: Callable[[Any], Tree], *sets: Any) -> list[Tree]:
    """[function(s) for s in sets], computed as one batch.

    Args:
      function: of a tree of arrays [B, ...] to another one, row by row.
      sets: trees of arrays [B, ...], of the same shapes but for B.
    """
    sizes = [len(jax.tree.leaves(tree)[0]) for tree in sets]
    return separated(function(joined(*sets)), sizes)


def joined(*sets: Tree) -> Tree:
    """The rows of all sets, [sum of B, ...]: on each device its share of one set, then another."""
    shares = num_shares()

    def join(*parts: jax.Array) -> jax.Array:
        blocks = [part.reshape(shares, len(part) // shares, *part.shape[1:]) for part in parts]
        return jnp.concatenate(blocks, axis=1).reshape(-1, *parts[0].shape[1:])

    return jax.tree.map(join, *sets)


def separated(tree: Tree, sizes: Sequence[int]) -> list[Tree]:
    """Undoes `joined` of sets of these sizes."""
    shares = num_shares()
    ends = [sum(sizes[:i]) // shares for i in range(len(sizes) + 1)]

    def rows(i: int) -> Tree:
        def part(x: jax.Array) -> jax.Array:
            blocks = x.reshape(shares, len(x) // shares, *x.shape[1:])
            return blocks[:, ends[i] : ends[i + 1]].reshape(-1, *x.shape[1:])

        return jax.tree.map(part, tree)

    return [rows(i) for i in range(len(sizes))]


def mixed(function: Callable[..., Tree], *trees: Any) -> Tree:
    """function(*trees), whole on every device: of small arrays whose rows change places."""
    return _placed(function(*_placed(trees, whole=True)), whole=True)


def gathered(tree: Tree) -> Tree:
    """The same arrays, whole on every device: small ones that every example is compared with.

    They are sent as one, so they are of one type, [B] or [B, D].
    """
    if num_shares() == 1:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    columns = [leaf.reshape(len(leaf), -1) for leaf in leaves]
    # Only these are sent: without `spread` the compiler also gathers what they are made of.
    sent = _placed(spread(jnp.concatenate(columns, axis=1)), whole=True)
    ends = list(itertools.accumulate(part.shape[1] for part in columns))
    parts = jnp.split(sent, ends[:-1], axis=1)
    whole = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, whole)


def spread(tree: Tree) -> Tree:
    """The same arrays [B, ...], of which each device has its share of the rows only."""
    return _placed(tree, whole=False)


def _placed(tree: Tree, whole: bool) -> Tree:
    if num_shares() == 1:
        return tree
    axes = jax.sharding.get_abstract_mesh().axis_names
    place = PartitionSpec() if whole else PartitionSpec(axes)
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, place), tree)


def num_shares() -> int:
    """Among how many devices the compiler splits the batch of what is being traced."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty or not mesh.auto_axes else mesh.size
