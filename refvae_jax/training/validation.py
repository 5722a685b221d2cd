"""What training measures on the validation images: the error that chooses the best checkpoint."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from refvae_jax.data.batches import evaluation_batches
from refvae_jax.data.cache import ImageSet
from refvae_jax.methods import losses
from refvae_jax.methods.base import Method
from refvae_jax.training import devices
from refvae_jax.training.step import to_unit_range


def make_validate(
    method: Method, mesh: Mesh, batch_size: int
) -> Callable[[dict[str, Any], ImageSet], dict[str, float]]:
    """validate(variables, images) -> {"squared_error", "change/LATENT"}, see below.

    squared_error: of an image of [0, 1] by decode(mean of encode(x)), summed over its pixels and
      channels, mean over all images of the set, for any batch size; the same for every method.
    change/LATENT, where there are several: how much that latent of another image changes the
      decoded one, in the first batch; 1 = as much as another image, 0 = the decoder ignores it.
    """

    def encode(variables: dict, batch: dict) -> dict[str, jax.Array]:
        return {n: q.mean for n, q in method.encode(variables, batch["image"]).items()}

    def total(variables: dict, batch: dict) -> jax.Array:
        batch = to_unit_range(batch)
        recon = method.decode(variables, encode(variables, batch))
        return jnp.sum(losses.squared_error(batch["image"], recon) * batch["mask"])

    def changes(variables: dict, batch: dict) -> dict[str, jax.Array]:
        codes = encode(variables, to_unit_range(batch))
        recon = method.decode(variables, codes)
        between = jnp.sum(jnp.abs(jnp.roll(recon, 1, axis=0) - recon))
        changed = {}
        for name in codes if len(codes) > 1 else ():
            given = codes | {name: jnp.roll(codes[name], 1, axis=0)}
            change = jnp.sum(jnp.abs(method.decode(variables, given) - recon))
            changed[f"change/{name}"] = change / jnp.maximum(between, 1e-9)
        return changed

    sharding = devices.replicated(mesh)
    total, changes = (
        jax.jit(devices.traced_in(mesh, f), out_shardings=sharding) for f in (total, changes)
    )
    share = batch_size // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)

    def validate(variables: dict[str, Any], images: ImageSet) -> dict[str, float]:
        sums: list[jax.Array] = []
        changed: dict[str, jax.Array] = {}
        for batch in evaluation_batches(images, batch_size=batch_size):
            part = {name: batch[name][mine] for name in ("image", "mask")}
            part = devices.put_batch(part, mesh)
            if not sums:
                changed = changes(variables, part)
            sums.append(total(variables, part))
        error = np.sum(jax.device_get(sums), dtype=np.float64) / len(images.image)
        return {"squared_error": float(error)} | {name: float(x) for name, x in changed.items()}

    return validate
