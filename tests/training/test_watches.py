"""The warnings about a discriminator that has won, and about labels that say nothing."""

import pytest

from refvae_jax.training.watches import LINES, LabelWatch, SaturationWatch

WON = {
    "discriminator/accuracy/unlabelled/encoder": 1.0,
    "discriminator/accuracy/unlabelled/generator": 0.97,
}
OPEN = WON | {"discriminator/accuracy/unlabelled/encoder": 0.9}


@pytest.fixture
def warnings(capsys):
    """warnings(rows): the lines printed when these rows are logged at steps 100, 200, ..."""

    def feed(rows, watch=None):
        watch = watch or SaturationWatch()
        for i, row in enumerate(rows):
            watch.look(100 * (i + 1), row | {"loss/model": 1.0})
        return capsys.readouterr().out.splitlines()

    return feed


def test_warns_once_with_the_step_and_what_to_try(warnings):
    (line,) = warnings([WON] * (3 * LINES))
    assert f"step {100 * LINES}:" in line
    assert "discriminator_optimizer.learning_rate" in line and "block_dropout" in line


def test_one_good_line_of_the_model_starts_the_count_again(warnings):
    assert warnings(([WON] * (LINES - 1) + [OPEN]) * 3) == []
    assert len(warnings(([WON] * LINES + [OPEN]) * 2)) == 2


def test_a_method_without_a_discriminator_is_never_warned(warnings):
    assert warnings([{}] * (2 * LINES)) == []


@pytest.mark.parametrize(
    ("share", "words", "advice"), [(0.0, "no two", "group_chunk=2"), (1.0, "all", "batch_size")]
)
def test_labels_that_say_nothing_are_warned_of_once(warnings, share, words, advice):
    (line,) = warnings(
        [{"style/equal_labels": 0.1}] + [{"style/equal_labels": share}] * 3, LabelWatch()
    )
    assert f"step 200: in this batch {words} images" in line and advice in line
