"""Image sizes and the widths for them."""

import pytest

from refvae_jax.errors import UserError
from refvae_jax.networks.sizes import PROGRESSIVE, STRIDED


@pytest.mark.parametrize(
    ("sizes", "resolution", "encoder", "decoder"),
    [
        (STRIDED, 8, (8, 16, 32, 64), ()),
        (STRIDED, 16, (8, 16, 32, 64), (32,)),
        (STRIDED, 32, (8, 16, 32, 64), (32, 16)),
        (STRIDED, 64, (8, 16, 32, 64), (32, 16, 8)),
        (STRIDED, 128, (8, 16, 32, 64), (32, 16, 8, 4)),
        (PROGRESSIVE, 4, (8,), ()),
        (PROGRESSIVE, 16, (8, 16, 32), (32, 16)),
        (PROGRESSIVE, 128, (8, 16, 32, 64, 64, 64), (32, 16, 8, 4, 2)),
    ],
)
def test_widths_follow_the_resolution(sizes, resolution, encoder, decoder):
    found = sizes.widths_for(resolution, (8, 16, 32, 64), (32, 16))
    assert found == (encoder, decoder)
    assert sizes.widths_for(resolution, *found) == found
    sizes.check(resolution, *found)


def test_widths_never_fall_below_one():
    assert PROGRESSIVE.widths_for(32, (1,), ()) == ((1, 1, 1, 1), (1, 1, 1))


@pytest.mark.parametrize(("resolution", "larger"), [(28, 32), (48, 64), (96, 128), (3, 4)])
def test_sizes_between_those_that_networks_make(resolution, larger):
    words = rf"resolution is {resolution}.* 4, 8, 16, 32, 64, .*set --config\.data\.resolution="
    with pytest.raises(UserError, match=rf"{words}{larger} "):
        PROGRESSIVE.check(resolution, (4, 4), (4,))


@pytest.mark.parametrize(
    ("encoder", "decoder", "words"),
    [
        ((4, 4), (4, 4, 4), 'set for example --config.network.encoder_widths="(4, 4, 4, 4)".'),
        ((4, 4, 4, 4), (8,), 'set for example --config.network.decoder_widths="(8, 4, 2)".'),
        ((4,), (), '="(4, 4, 4, 4)" --config.network.decoder_widths="(4, 2, 1)".'),
        ((), (4, 4, 4), "encoder_widths is empty"),
    ],
)
def test_widths_for_another_size(encoder, decoder, words):
    with pytest.raises(UserError) as caught:
        PROGRESSIVE.check(32, encoder, decoder)
    assert words in str(caught.value)


def test_a_strided_encoder_may_have_any_number_of_widths():
    for count in (1, 7):
        STRIDED.check(32, (4,) * count, (8, 4))
    with pytest.raises(UserError, match="decoder_widths has 1 width,"):
        STRIDED.check(32, (4,), (8,))
    shared = (8, 8, 8)
    with pytest.raises(UserError, match="decoder_widths has 3 widths,"):
        STRIDED.check(32, shared, shared)
