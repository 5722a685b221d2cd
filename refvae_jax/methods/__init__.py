"""One method per file. METHODS maps names to builders, and what is known of a method without it.

Nothing here imports JAX before a method is made: configs are read, checked and reported without.
"""

import importlib
from typing import TYPE_CHECKING, NamedTuple

from refvae_jax.networks.sizes import PROGRESSIVE, STRIDED, Sizes

if TYPE_CHECKING:
    from refvae_jax.methods.base import Config, DataInfo, Method


class Builder(NamedTuple):
    """Makes a method: builder(config, data_info) -> Method."""

    module: str  # In this folder, with a `make_method`.
    sizes: Sizes  # Of the images that its networks make.
    independent: str = ""  # The latent that the independence term is about; "" without the term.

    def __call__(self, config: "Config", data_info: "DataInfo") -> "Method":
        """The Method of a config, which a file of its own makes."""
        return importlib.import_module(f"{__name__}.{self.module}").make_method(config, data_info)


METHODS = {
    "gmvae": Builder("gmvae", STRIDED, "style"),
    "mlvae": Builder("mlvae", STRIDED, "style"),
    "rbvae": Builder("rbvae", PROGRESSIVE, "common"),
    "srbvae": Builder("srbvae", PROGRESSIVE, "common"),
    "vae": Builder("vae", PROGRESSIVE),
    "betavae": Builder("vae", PROGRESSIVE),
    "betatcvae": Builder("vae", PROGRESSIVE),
    "dipvae1": Builder("vae", PROGRESSIVE),
    "dipvae2": Builder("vae", PROGRESSIVE),
    "factorvae": Builder("factorvae", PROGRESSIVE),
    "svae": Builder("svae", PROGRESSIVE),
    "mathieu": Builder("mathieu", PROGRESSIVE),
}
