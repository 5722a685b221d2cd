"""One method per file; METHODS maps names to builders."""

from collections.abc import Callable

from refvae_jax.methods import factorvae, gmvae, mathieu, mlvae, rbvae, srbvae, svae, vae
from refvae_jax.methods.base import Config, DataInfo, Method
from refvae_jax.networks import progressive, strided
from refvae_jax.networks.sizes import Sizes

METHODS: dict[str, Callable[[Config, DataInfo], Method]] = {
    "gmvae": gmvae.make_method,
    "mlvae": mlvae.make_method,
    "rbvae": rbvae.make_method,
    "srbvae": srbvae.make_method,
    "vae": vae.make_method,
    "betavae": vae.make_method,
    "betatcvae": vae.make_method,
    "dipvae1": vae.make_method,
    "dipvae2": vae.make_method,
    "factorvae": factorvae.make_method,
    "svae": svae.make_method,
    "mathieu": mathieu.make_method,
}

_MIXTURE = (
    "gmvae",
    "mlvae",
)  # Have the mixture paper's networks, the others the reference paper's.


def sizes_of(method: str) -> Sizes:
    """The image sizes that the networks of a method make."""
    return (strided if method in _MIXTURE else progressive).SIZES
