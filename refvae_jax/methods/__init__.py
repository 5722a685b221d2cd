"""One method per file; METHODS maps names to builders, sizes_of names to image sizes."""

from collections.abc import Callable
from types import ModuleType

from refvae_jax.methods import factorvae, gmvae, mathieu, mlvae, rbvae, srbvae, svae, vae
from refvae_jax.methods.base import Config, DataInfo, Method
from refvae_jax.networks.sizes import Sizes

_MODULES: dict[str, ModuleType] = {
    "gmvae": gmvae,
    "mlvae": mlvae,
    "rbvae": rbvae,
    "srbvae": srbvae,
    "vae": vae,
    "betavae": vae,
    "betatcvae": vae,
    "dipvae1": vae,
    "dipvae2": vae,
    "factorvae": factorvae,
    "svae": svae,
    "mathieu": mathieu,
}

METHODS: dict[str, Callable[[Config, DataInfo], Method]] = {
    name: module.make_method for name, module in _MODULES.items()
}


def sizes_of(method: str) -> Sizes:
    """The image sizes that the networks of a method make."""
    return _MODULES[method].SIZES
