"""One method per file; METHODS maps names to builders."""

from collections.abc import Callable

from refvae_jax.methods import factorvae, gmvae, mathieu, mlvae, rbvae, srbvae, svae, vae
from refvae_jax.methods.base import Config, DataInfo, Method

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
