"""One generative story a file; METHODS is the one table by name."""

from refvae_jax.methods import gmvae, mlvae

METHODS = {"gmvae": gmvae.build, "mlvae": mlvae.build}
