"""Does a swap move what it should? Formulas on arrays; the caller encodes and decodes.

    b = partner(n, seed)                         # image i receives a latent of image b[i]
    swapped = model.swap(images, images[b], "style")
    moved_fraction(style(swapped), style(images), style(images)[b])
    pixel_change(swapped, recon, recon[b])

Scores of the codes alone cannot detect a generator that ignores a latent; these can.
"""

import numpy as np

CHUNK = 256  # Images turned into floats at a time, so that memory stays small.


def partner(n: int, seed: int) -> np.ndarray:
    """Draws a partner for each of `n` images: a permutation without fixed point.

    Args:
      n: number of images, at least 2 (ValueError otherwise).
      seed: the same seed gives the same partners.

    Returns:
      int [n], the index of the partner of each image.
    """
    if n < 2:
        raise ValueError(f"Swapping needs at least 2 images, got {n}.")
    order = np.random.default_rng(seed).permutation(n)
    partners = np.empty(n, dtype=int)
    partners[order] = np.roll(order, 1)  # One cycle through all images has no fixed point.
    return partners


def moved_fraction(
    swapped_codes: np.ndarray, kept_codes: np.ndarray, given_codes: np.ndarray
) -> float:
    """Share of swaps whose re-encoded code lies nearer to the given code than to the replaced one.

    Args:
      swapped_codes: [N, D], codes of the swapped images, in the latent that was swapped.
      kept_codes: [N, D], codes of the images whose latent was replaced.
      given_codes: [N, D], codes of the images that gave the latent.

    Returns:
      A fraction in [0, 1]: 1 if every swap moved, 0.5 for an unrelated code (a tie counts half),
      0 if the generator ignores the latent.
    """
    _check_same_shape(swapped_codes, kept_codes, given_codes)
    swapped = np.asarray(swapped_codes, np.float64)
    to_kept = np.square(swapped - kept_codes).sum(axis=1)  # [N]
    to_given = np.square(swapped - given_codes).sum(axis=1)  # [N]
    return float(np.mean((to_given < to_kept) + 0.5 * (to_given == to_kept)))


def pixel_change(swapped: np.ndarray, recon_a: np.ndarray, recon_b: np.ndarray) -> float:
    """Mean squared distance from `recon_a` to the swapped images, in units of that to `recon_b`.

    Args:
      swapped: [N, ...], a with one latent of b, decoded; uint8 or float.
      recon_a: [N, ...], reconstructions of the images that kept the other latents.
      recon_b: [N, ...], reconstructions of the images that gave the latent.

    Returns:
      0 if the given latent is ignored, 1 if the swap changes as much as another image would.
      Also 0 if all reconstructions are equal, since then no latent changes anything.
    """
    _check_same_shape(swapped, recon_a, recon_b)
    between = squared_distance(recon_a, recon_b)
    return squared_distance(swapped, recon_a) / between if between > 0 else 0.0


def squared_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of squared differences of arrays [N, ...], in float64: uint8 would wrap around."""
    chunks = range(0, len(a), CHUNK)
    return float(
        sum(np.square(a[i : i + CHUNK].astype(np.float64) - b[i : i + CHUNK]).sum() for i in chunks)
    )


def _check_same_shape(*arrays: np.ndarray) -> None:
    """Raises ValueError: broadcasting would turn a wrong shape into a wrong number."""
    shapes = [np.shape(array) for array in arrays]
    if len(set(shapes)) > 1 or not shapes[0][0]:
        raise ValueError(f"Expected arrays of one shape with at least one row, got {shapes}.")
