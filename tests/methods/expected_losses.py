"""Every method's losses written in numpy, from the equations.

The networks are the package's; the draws repeat its calls of jax.random; the rest is written anew.
"""

import functools

import jax
import numpy as np
from scipy import stats

from refvae_jax.methods.srbvae import LOGVAR_FLOOR
from refvae_jax.networks.discriminators import LatentDiscriminator
from tests.small_methods import BATCH, INFO, SHAPE, discriminator_network, networks

# Chosen so that every term is seen beside the others, and no two weights are the same.
WEIGHTS = {
    "scale": 20.0,
    "beta": 3.0,
    "gamma": 7.0,
    "w_off_diagonal": 40.0,
    "w_diagonal": 13.0,
    "w_kl": 0.3,
    "w_adversarial": 0.7,
    "w_image": 5.0,
    "w_latent": 0.4,
    "block_dropout": 0.5,
}
RNG = jax.random.key(5)
N = BATCH


def normal(rng, *shape):
    return np.asarray(jax.random.normal(rng, shape), np.float64)


def drawn(rng, q):
    return q.mean + np.exp(q.logvar / 2) * normal(rng, *q.mean.shape)


def joined(q, other):
    return jax.tree.map(lambda *pair: np.concatenate(pair), q, other)


def sp(x):
    return np.logaddexp(0, np.asarray(x, np.float64))


def kl(q):
    return 0.5 * (np.exp(q.logvar) + q.mean**2 - 1 - q.logvar).sum(axis=1).mean()


def total_error(x, recon):
    """|x - recon|_1 in [-1, 1], summed over the image, averaged over the batch."""
    x, recon = 2 * x.astype(np.float64) - 1, 2 * recon - 1
    return np.abs(x - recon).reshape(len(x), -1).sum(axis=1).mean()


def mean_error(x, recon):
    return total_error(x, recon) / np.prod(SHAPE)


def of_vae(params, x, rng):
    encode, decode = networks(("z",))
    q = encode(params, x)["z"]
    z = drawn(rng, q)
    return q, z, total_error(x, decode(params, {"z": z})) / WEIGHTS["scale"]


def penalty(cov):
    diagonal = np.diag(cov)
    off = cov - np.diag(diagonal)
    return 40.0 * (off**2).sum() + 13.0 * ((diagonal - 1) ** 2).sum()


def expected_vae(name, params, batch):
    q, z, recon = of_vae(params["model"], batch["image"], RNG)
    cov = np.cov(q.mean.T, bias=True)
    if name == "betatcvae":
        m, total = N - 1, INFO.num_train_images
        weight = np.full((N, N), 1 / m)
        for i in range(N):
            weight[i, i], weight[i, (i + 1) % N] = 1 / total, (total - m) / (total * m)
        density = stats.norm.pdf(z[:, None], q.mean, np.exp(q.logvar / 2))  # [z, q, dimension]
        log_qz = np.log((weight * density.prod(axis=2)).sum(axis=1))
        log_product = np.log((weight[:, :, None] * density).sum(axis=1)).sum(axis=1)
        log_qzx = np.log(density[np.arange(N), np.arange(N)]).sum(axis=1)
        log_p = stats.norm.logpdf(z).sum(axis=1)
        terms = (log_qzx - log_qz) + 3.0 * (log_qz - log_product) + (log_product - log_p)
        return {"model": recon + terms.mean()}
    return {
        "model": recon
        + {
            "vae": lambda: kl(q),
            "betavae": lambda: 3.0 * kl(q),
            "dipvae1": lambda: kl(q) + penalty(cov),
            "dipvae2": lambda: kl(q) + penalty(cov + np.diag(np.exp(q.logvar).mean(axis=0))),
        }[name]()
    }


def expected_factorvae(params, batch):
    rng_z, rng_permutation = jax.random.split(RNG)
    q, z, recon = of_vae(params["model"], batch["image"], rng_z)
    z = np.float32(z)
    joint, others = z[: N // 2], z[N // 2 :]
    permuted = jax.random.permutation(rng_permutation, others, axis=0, independent=True)

    def discriminator(z):
        return np.asarray(
            LatentDiscriminator().apply({"params": params["discriminator"]}, z), np.float64
        )

    return {
        "discriminator": (sp(-discriminator(joint)) + sp(discriminator(permuted))).mean(),
        "model": recon + kl(q) + 7.0 * discriminator(z).mean(),
    }


def logits(params, real, made, rng, rate=WEIGHTS["block_dropout"]):
    """The logits of real and of made pairs (image, {name: code})."""
    pairs = jax.tree.map(np.float32, [real, made])
    sizes = tuple((k, code.shape[1]) for k, code in real[1].items())
    found = discriminator_network(sizes, rate)(params, pairs, rng)
    return [np.asarray(d, np.float64) for d in found]


def half_square(z, q):
    return 0.5 * ((z - q.mean) ** 2).sum(axis=1).mean()


def floored_nats(z, q):
    std = np.exp(np.maximum(q.logvar, LOGVAR_FLOOR) / 2)
    return -stats.norm.logpdf(z, q.mean, std).sum(axis=1).mean()


def expected_svae(params, batch, latent_error=half_square):
    rng_prior, rng_z, rng_discriminator = jax.random.split(RNG, 3)
    encode, decode = networks(("z",))
    x, model = batch["image"], params["model"]
    z1 = normal(rng_prior, N, 4)
    g = decode(model, {"z": z1})
    z = drawn(rng_z, encode(model, x)["z"])
    d_q, d_p = logits(params["discriminator"], (x, {"z": z}), (g, {"z": z1}), rng_discriminator)
    image = mean_error(x, decode(model, {"z": z}))
    latent = latent_error(z1, encode(model, g)["z"])
    return {
        "discriminator": (sp(-d_q) + sp(d_p)).mean(),
        "model": d_q.mean() - d_p.mean() + 5.0 * image + 0.4 * latent,
    }


def reference_pair(batch):
    return batch["unlabelled"]["image"], batch["reference"]["image"]


def expected_rbvae(params, batch):
    rng_common, rng_target = jax.random.split(RNG)
    encode, decode = networks(("common", "target"))
    (xu, xr), model = reference_pair(batch), params["model"]
    of_u, of_r = encode(model, xu), encode(model, xr)
    both = joined(of_u["common"], of_r["common"])
    z, e = drawn(rng_common, both), drawn(rng_target, of_u["target"])
    e_ref = np.tile(model["e_ref"], (N, 1))
    error_u = total_error(xu, decode(model, {"common": z[:N], "target": e}))
    error_r = total_error(xr, decode(model, {"common": z[N:], "target": e_ref}))
    return {
        "model": kl(of_u["common"])
        + kl(of_u["target"])
        + kl(of_r["common"])
        + (error_u + error_r) / 20.0
    }


def expected_srbvae(params, batch, latent_error=half_square):
    rng_play, rng_discriminator = jax.random.split(RNG)
    rngs, (rng_u, rng_r) = jax.random.split(rng_play, 5), jax.random.split(rng_discriminator)
    encode, decode = networks(("common", "target"))
    (xu, xr), model, discriminator = reference_pair(batch), params["model"], params["discriminator"]
    e_ref = np.tile(model["e_ref"], (N, 1))
    (z1, z2), e1 = np.split(normal(rngs[0], 2 * N, 3), 2), normal(rngs[1], N, 2)
    gu = decode(model, {"common": z1, "target": e1})
    gr = decode(model, {"common": z2, "target": e_ref})
    of_u, of_r = encode(model, xu), encode(model, xr)
    both = joined(of_u["common"], of_r["common"])
    (zu, zr), eu = np.split(drawn(rngs[3], both), 2), drawn(rngs[4], of_u["target"])

    real_u, made_u = (xu, {"common": zu, "target": eu}), (gu, {"common": z1, "target": e1})
    du_q, du_p = logits(discriminator["unlabelled"], real_u, made_u, rng_u)
    dr_q, dr_p = logits(
        discriminator["reference"], (xr, {"common": zr}), (gr, {"common": z2}), rng_r
    )
    image = mean_error(xu, decode(model, {"common": zu, "target": eu}))
    image += mean_error(xr, decode(model, {"common": zr, "target": e_ref}))
    of_gu, of_gr = encode(model, gu), encode(model, gr)
    latent = latent_error(z1, of_gu["common"]) + latent_error(e1, of_gu["target"])
    latent += latent_error(z2, of_gr["common"])
    return {
        "discriminator": (sp(-du_q) + sp(du_p) + sp(-dr_q) + sp(dr_p)).mean(),
        "model": (du_q - du_p + dr_q - dr_p).mean() + 5.0 * image + 0.4 * latent,
    }


def expected_mathieu(params, batch):
    encode, decode = networks(("common", "target"))
    (xu, xr), model = reference_pair(batch), params["model"]
    of_u, of_r = encode(model, xu), encode(model, xr)
    both = joined(of_u["common"], of_r["common"])
    zu, zr = np.split(drawn(RNG, both), 2)
    eu, er = of_u["target"].mean, of_r["target"].mean
    other = er[[N - 1, *range(N - 1)]]

    def image(z, e):
        return decode(model, {"common": z, "target": e})

    u, r = ({"set": np.tile(row, (N, 1))} for row in np.eye(2))
    real_u, made_u = logits(params["discriminator"], (xu, u), (image(zr, eu), u), None, 0.0)
    real_r, made_r = logits(params["discriminator"], (xr, r), (image(zu, er), r), None, 0.0)
    errors = mean_error(xu, image(zu, eu)) + mean_error(xr, image(zr, er))
    errors += mean_error(xr, image(zr, other))
    return {
        "discriminator": (sp(-real_u) + sp(-real_r) + sp(made_u) + sp(made_r)).mean(),
        "model": errors + 0.3 * kl(both) + 0.7 * (sp(-made_u) + sp(-made_r)).mean(),
    }


EXPECTED = {
    **{
        name: functools.partial(expected_vae, name)
        for name in ("vae", "betavae", "betatcvae", "dipvae1", "dipvae2")
    },
    "factorvae": expected_factorvae,
    "svae": expected_svae,
    "rbvae": expected_rbvae,
    "srbvae": expected_srbvae,
    "mathieu": expected_mathieu,
}
