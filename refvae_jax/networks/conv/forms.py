"""Which way of computing a convolution runs where: a fixed rule, never timed.

form("conv", "cpu", kernel_size=5, stride=2, in_channels=32, out_channels=64, out_size=8)

A convolution is linear in the image and in the kernel, so training needs three products:

    y  = forward(x, kernel)
    dx = input_gradient(dy, kernel)
    dk = kernel_gradient(x, dy)

A transposed convolution needs the same three with the roles of image and cotangent exchanged, and
so do a convolution of stride 1 and one of a doubled image. XLA:CPU has one native convolution, fast
for some shapes of some of these products and up to a hundred times slower than a matmul for others.
On a GPU or TPU everything is XLA's own.

The platform, as a JAX device names it, is an argument, not looked up in JAX, so that a program can
be compiled for devices that this process does not have.
"""

from typing import NamedTuple


class Form(NamedTuple):
    """How to compute the three products.

    Attributes:
      forward, input_gradient, kernel_gradient: keys of FORWARD, INPUT_GRADIENT and KERNEL_GRADIENT,
        each in the file of its name.
      mirrored: whether the layer is the transpose of the convolution whose products these are: its
        output is that convolution's input gradient.
    """

    forward: str
    input_gradient: str
    kernel_gradient: str
    mirrored: bool = False


FEW = 4  # Fewer channels than these are computed for several pixels, or several taps, at once.

# XLA's own, with both gradients written as it computes them on a CPU outside of loops.
PLAIN = Form("native", "native", "native")


def form(
    kind: str,
    platform: str,
    kernel_size: int,
    stride: int,
    in_channels: int,
    out_channels: int,
    out_size: int,
) -> Form | None:
    """The form of one layer; None for the plain convolution of `lax` and its autodiff.

    Args:
      kind: "conv", "conv_transpose" or "conv_doubled".
      platform: "cpu", "gpu" or "tpu", to compile for.
      kernel_size: k.
      stride: of the convolution, or of the one that is transposed; of a doubled image 1.
      in_channels: C.
      out_channels: O.
      out_size: the smaller of the height and width of the output.

    Measurements and reasons: docs/convolutions.md.
    """
    if platform != "cpu":
        return None
    if kernel_size == 1:
        return PLAIN
    usual = Form("native", "phases", "rows")
    if kind == "conv_doubled":
        return usual._replace(mirrored=True)
    if kind == "conv_transpose":
        return usual._replace(mirrored=True) if stride > 1 else None
    if stride == 1:
        if out_channels < FEW <= in_channels:
            return Form("wide", "shifts", "patches", True)
        return usual if min(in_channels, out_channels) >= 8 and out_size > 4 else PLAIN
    if in_channels < FEW:
        return Form("wide", "phases", "patches")
    small = Form("native", "fold" if out_size <= 4 else "phases", "native")
    large = usual if out_size > 8 else small
    return large._replace(forward="patches") if out_size <= 2 or in_channels > 128 else large
