"""Weakly supervised disentanglement in JAX/Flax.

model = refvae_jax.load("runs/quickstart-s0")
"""

from typing import TYPE_CHECKING, Any

from refvae_jax.version import __version__ as __version__

if TYPE_CHECKING:
    from refvae_jax.inference import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    # On demand: `import refvae_jax` for one small function should not load all of JAX and Orbax.
    if name == "load":
        from refvae_jax.inference import load

        return load
    raise AttributeError(f"module 'refvae_jax' has no attribute {name!r}")
