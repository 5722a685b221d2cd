"""Procrustes analysis: aligns landmarks, and the images with them, to a common shape.

    target = place(mean_shape(shapes), left=LEFT_EYE, right=RIGHT_EYE, side=64, share=0.75)
    pixels = warp(image, procrustes(points, target), side=64)

Points are (x, y) in pixels, x to the right and y down, 0 at the image's upper left corner. A
similarity (rotation, scale, shift) of the plane is z -> a z + b on complex z = x + i y, which
excludes reflections. A transform is float64 [2, 3]: rows of (matrix, shift).
"""

import numpy as np
from PIL import Image

_ITERATIONS = 10  # Of the mean shape; it moves by less than rounding after a few.
_SUPERSAMPLING = 4


def _complex(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return points[..., 0] + 1j * points[..., 1]


def _points(numbers: np.ndarray) -> np.ndarray:
    return np.stack([np.real(numbers), np.imag(numbers)], axis=-1)


def procrustes(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity that minimises the squared distance of points to a target.

    Args:
      points: [L, 2].
      target: [L, 2].

    Returns:
      The transform, float64 [2, 3].

    Raises:
      ValueError: there is none, as when all points coincide.
    """
    z, w = _complex(points), _complex(target)
    centred = z - z.mean()
    a = np.vdot(centred, w) / max(np.vdot(centred, centred).real, np.finfo(float).tiny)
    if abs(a) < 1e-9:
        raise ValueError("its landmarks have no shape that could be aligned")
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def mean_shape(shapes: np.ndarray) -> np.ndarray:
    """The mean of shapes, regardless of their position, size and rotation.

    Generalised Procrustes analysis: every shape, centred and of norm one, is rotated to the mean,
    and the mean is taken again.

    Args:
      shapes: [N, L, 2]; those whose points all coincide are left out.

    Returns:
      float64 [L, 2], centred, of norm one, with the rotation of the first shape.

    Raises:
      ValueError: no shape is left.
    """
    z = _complex(shapes)  # [N, L]
    z -= z.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    z = (z / np.where(norm > 0, norm, 1))[norm[:, 0] > 0]
    if not len(z):
        raise ValueError("there are no landmarks to take the mean shape of")
    mean = z[0]
    for _ in range(_ITERATIONS):
        turn = np.exp(1j * np.angle(z.conj() @ mean))  # [N]
        mean = turn @ z
        mean /= np.linalg.norm(mean)
    # Averaging leaves the rotation free: take that of the first shape.
    return _points(mean * np.exp(1j * np.angle(np.vdot(mean, z[0]))))


def place(shape: np.ndarray, *, left: slice, right: slice, side: int, share: float) -> np.ndarray:
    """Rotates a shape upright and centres it in a square.

    Args:
      shape: [L, 2].
      left: of its points, whose mean (an eye's centre) is to be on the left, ...
      right: ... at the same height as the mean of these.
      side: of the square in pixels.
      share: of the side that the longer side of the shape's bounding box takes.

    Returns:
      float64 [L, 2], in pixels.
    """
    z = _complex(shape)
    across = z[right].mean() - z[left].mean()
    points = _points(z * np.exp(-1j * np.angle(across)))
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) * (share * side / (high - low).max()) + side / 2


def warp(image: Image.Image, transform: np.ndarray, side: int) -> np.ndarray:
    """Draws an image under a similarity; what the image does not cover is black.

    Pillow's transform reads 2x2 source pixels around each point, however much the image shrinks:
    most pixels of a large photograph would be skipped, and its edges jagged. So the crop is drawn
    four times larger and averaged. An image larger still is first averaged in blocks, down to
    between one and two of its pixels per drawn pixel.

    Args:
      image: of mode "L" or "RGB".
      transform: [2, 3], from its points to those of the crop.
      side: height and width R of the crop in pixels.

    Returns:
      uint8 [R, R, 1 or 3].
    """
    scale = _SUPERSAMPLING * np.hypot(*transform[:, 0])  # Drawn pixels for one of the image.
    block = max(1, min(int(1 / scale), *image.size))
    drawn = np.vstack([_SUPERSAMPLING * transform, [0, 0, 1]]) @ np.diag([block, block, 1])
    size = (_SUPERSAMPLING * side, _SUPERSAMPLING * side)
    # Pillow asks where a drawn pixel comes from.
    backwards = np.linalg.inv(drawn)[:2].ravel().tolist()
    large = image.reduce(block).transform(
        size, Image.Transform.AFFINE, backwards, Image.Resampling.BILINEAR
    )
    return np.asarray(large.reduce(_SUPERSAMPLING)).reshape(side, side, -1)
