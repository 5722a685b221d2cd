"""Which image sizes networks make, and how many widths they take for each.

PROGRESSIVE.check(32, (32, 64, 128, 256), (256, 128, 64))
PROGRESSIVE.widths_for(64, (32, 64, 128, 256), (256, 128, 64))  # (.., 256, 256), (.., 64, 32)
"""

from collections.abc import Sequence
from typing import NamedTuple

from refvae_jax.errors import UserError, counted

Widths = tuple[int, ...]
WIDTH_FIELDS = ("encoder_widths", "decoder_widths")  # Of `config.network`.
_NAMED = 5  # Sizes that a message lists.


class Sizes(NamedTuple):
    """Images of smallest * 2**n pixels, for which a decoder has n widths and an encoder n + 1.

    Attributes:
      smallest: height and width of the decoder's first map.
      any_encoder: whether an encoder may have any number of widths from one on instead.
    """

    smallest: int
    any_encoder: bool

    def enough_for(self, resolution: int) -> int:
        """The smallest size that is not below the resolution."""
        size = self.smallest
        while size < resolution:
            size *= 2
        return size

    def widths_for(
        self, resolution: int, encoder: Sequence[int], decoder: Sequence[int]
    ) -> tuple[Widths, Widths]:
        """The widths as they are where they fit; else one width more or fewer per doubling.

        The encoder's last width is repeated, the decoder's last one halved, or they are dropped.

        Args:
          resolution: one of the sizes.
          encoder, decoder: widths for another size; at least one of the encoder.
        """
        doublings = (resolution // self.smallest).bit_length() - 1
        count = len(encoder) if self.any_encoder else doublings + 1
        first = [*encoder, *[encoder[-1]] * count]
        second = list(decoder)
        while len(second) < doublings:
            second.append(max(second[-1] // 2, 1) if second else first[-1])
        return tuple(first[:count]), tuple(second[:doublings])

    def check(self, resolution: int, encoder: Sequence[int], decoder: Sequence[int]) -> None:
        """Raises UserError unless the widths lead from images of that resolution and back."""
        size = self.enough_for(resolution)
        if size != resolution:
            known = ", ".join(str(self.smallest * 2**n) for n in range(_NAMED))
            raise UserError(
                f"config.data.resolution is {resolution}, but the networks of this method make "
                f"images of {known}, ... pixels: set --config.data.resolution={size} for the next "
                f"larger size."
            )
        if not encoder:
            raise UserError("config.network.encoder_widths is empty: give it at least one width.")
        fitting = self.widths_for(resolution, encoder, decoder)
        wrong = [
            (name, given, right)
            for name, given, right in zip(WIDTH_FIELDS, (encoder, decoder), fitting, strict=True)
            if len(given) != len(right)
        ]
        for name, given, right in wrong:
            flags = " ".join(f'--config.network.{name}="{right}"' for name, _, right in wrong)
            raise UserError(
                f"config.network.{name} has {counted(len(given), 'width')}, but the networks of "
                f"this method take {len(right)} for images of {resolution} pixels: set for example "
                f"{flags}."
            )


# Of `strided.py`, as in the mixture paper, and of `progressive.py`.
STRIDED = Sizes(8, any_encoder=True)
PROGRESSIVE = Sizes(4, any_encoder=False)
