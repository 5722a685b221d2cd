"""Pixels of more than 8 bits, and floats: which values become black and white.

limits = (0, 4095)                  # config.data.value_range, or percentiles ("0.1%", "99.9%")
low, high = resolve(limits, samples, "my images")
to_bytes(pixels, (low, high))       # uint8
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError

Limits = tuple[float | str, ...]  # (low, high), each a number or a percentile "P%"; or ().
Range = tuple[float, ...]  # (low, high), or () where it is not given.
Look = Callable[[np.ndarray], None]
FULL = 65535  # The highest value of 16 bits.
MOST_IMAGES = 4096  # That percentiles are taken from, evenly spread over the set.
MOST_PIXELS = 1 << 22  # Of all of them together.
_NEARLY_ALL = 0.99
ADVICE = (
    "set --config.data.value_range, for example to \"('0.1%', '99.9%')\" (of `refvae data`: "
    "--value-range 0.1% 99.9%)"
)


def is_deep(mode: str) -> bool:
    """Whether the pixels of a Pillow image of this mode have more than 8 bits."""
    return mode.startswith("I") or mode == "F"


def percent(limit: float | str) -> float | None:
    """99.9 of "99.9%"; None of a number, and of what is neither."""
    if not isinstance(limit, str) or not limit.endswith("%"):
        return None
    try:
        value = float(limit[:-1])
    except ValueError:
        return None
    return value if 0 <= value <= 100 else None


def are_limits(limits: Sequence[float | str]) -> bool:
    """Whether it is () or (low, high) with low < high, numbers or percentiles."""
    if not limits:
        return True
    if len(limits) != 2:
        return False
    known = [percent(x) if isinstance(x, str) else x for x in limits]
    ends = [x for x in known if isinstance(x, int | float) and np.isfinite(x)]
    comparable = isinstance(limits[0], str) == isinstance(limits[1], str)
    return len(ends) == 2 and (not comparable or ends[0] < ends[1])


def to_bytes(pixels: np.ndarray, value_range: Range) -> np.ndarray:
    """uint8 of the same shape: low becomes 0, high 255, what lies beyond is clipped.

    Args:
      pixels: whole numbers or floats.
      value_range: (low, high); () takes the upper 8 of 16 bits.

    Raises:
      ValueError: there is no range and the values are not of 16 bits, or some are not finite.
    """
    if not value_range:
        if pixels.dtype.kind == "f":
            raise ValueError("its pixels are floats and data.value_range is not set")
        if pixels.size and not 0 <= pixels.min() <= pixels.max() <= FULL:
            raise ValueError("its pixels are no 16-bit values and data.value_range is not set")
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError("some of its pixels are NaN or infinite: replace them by numbers")
    low, high = value_range
    # float32 would not hold all whole numbers of 32 bits.
    scaled = (pixels.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def sample(pixels: np.ndarray, row: int, num_images: int) -> np.ndarray:
    """Up to MOST_PIXELS / num_images finite pixels of an image, float64: all, or a fixed draw."""
    flat = pixels.reshape(-1)
    most = max(1, MOST_PIXELS // num_images)
    if flat.size > most:
        flat = flat[np.random.default_rng([0, row]).integers(flat.size, size=most)]
    flat = flat.astype(np.float64)
    return flat[np.isfinite(flat)]


def sampled_rows(count: int) -> np.ndarray:
    """int [up to MOST_IMAGES], rows spread evenly over `count` images."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_IMAGES)).astype(int))


def resolve(
    limits: Limits, samples: Callable[[], Iterable[np.ndarray]], where: str | Path
) -> Range:
    """(low, high) as numbers; reports those that percentiles give.

    Args:
      limits: as of config.data.value_range, not empty.
      samples: gives the `sample` of each of the images.
      where: the images' place, for messages.

    Raises:
      UserError: the range is empty, or nearly all values are beyond it.
    """
    parts = list(samples())
    values = np.concatenate(parts) if parts else np.zeros(0)
    if not values.size:
        raise UserError(f"No pixel of {where} is a finite number: check the images.")
    percents = [percent(limit) for limit in limits]
    low, high = (
        float(limit) if p is None else float(np.percentile(values, p))
        for limit, p in zip(limits, percents, strict=True)
    )
    words = f"data.value_range {limits[0]} to {limits[1]}"
    if not low < high:
        raise UserError(
            f"{words} of the pixels of {where} is {low:g} to {high:g}, no range: set "
            f"--config.data.value_range to numbers, or to percentiles further apart."
        )
    beyond = np.count_nonzero((values < low) | (values > high))
    inside = np.count_nonzero((values > low) & (values < high))  # The ends say nothing.
    if beyond > _NEARLY_ALL * (beyond + inside):
        raise UserError(
            f"The pixel values of {where} go from {values.min():g} to {values.max():g}, and nearly "
            f"all are outside {words}: {ADVICE}."
        )
    if percents != [None, None]:
        LOGGER.info(f"{words} of the pixels of {where} is {low:g} to {high:g}")
    return low, high


def eight_bit(image: Image.Image, value_range: Range, look: Look | None = None) -> Image.Image:
    """An image of more than 8 bits by `to_bytes`, as mode "L"; any other as it is.

    Args:
      image: of any mode.
      value_range: as of `to_bytes`.
      look: called with the pixels [H, W] of an image of more than 8 bits that can be used.
    """
    if not is_deep(image.mode):
        return image
    pixels = np.asarray(image)
    converted = to_bytes(pixels, value_range)
    if look:
        look(pixels)
    return Image.fromarray(converted)
