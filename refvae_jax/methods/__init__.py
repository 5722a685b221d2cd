"""One generative story a file; METHODS is the one table by name."""

from refvae_jax.methods import factorvae, gmvae, mathieu, mlvae, rbvae, srbvae, svae, vae

METHODS = {
    "gmvae": gmvae.build,
    "mlvae": mlvae.build,
    "rbvae": rbvae.build,
    "srbvae": srbvae.build,
    "vae": vae.build,
    "betavae": vae.build,
    "betatcvae": vae.build,
    "dipvae1": vae.build,
    "dipvae2": vae.build,
    "factorvae": factorvae.build,
    "svae": svae.build,
    "mathieu": mathieu.build,
}
