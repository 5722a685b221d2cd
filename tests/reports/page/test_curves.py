"""Curves: which numbers, in which order, and plots that fit into one page."""

import re
from xml.etree import ElementTree

import numpy as np

from refvae_jax.reports.page import curves

ROWS = [
    {"step": 10, "loss/model": 3.0, "kl": 1.0, "grad_norm/model": 9.0},
    {"step": 10, "validation/squared_error": 7.0},
    {"step": 20, "loss/model": 2.0, "kl": 4.0, "grad_norm/model": 8.0},
]


def test_a_curve_is_made_of_the_lines_that_have_its_number():
    found = curves.curves_of(ROWS)
    np.testing.assert_array_equal(found["loss/model"], [[10, 3], [20, 2]])
    np.testing.assert_array_equal(found["validation/squared_error"], [[10, 7]])
    assert "step" not in found


def test_long_curves_are_thinned_to_means():
    curve = np.stack([np.arange(601), np.arange(601) % 3], axis=1).astype(float)
    thin, each = curves.thinned(curve)
    assert each == 3 and len(thin) == 201
    np.testing.assert_allclose(thin[0], [1, 1])
    np.testing.assert_allclose(thin[-1], [600, 0])  # The last one alone.
    short, each = curves.thinned(curve[:300])
    assert each == 1
    np.testing.assert_array_equal(short, curve[:300])


def test_losses_and_validations_are_main_and_come_first():
    panels = curves.make_panels({"a": ROWS}, {"a": 20})
    assert [(panel.name, panel.is_main) for panel in panels] == [
        ("loss/model", True),
        ("validation/squared_error", True),
        ("kl", True),
        ("grad_norm/model", False),
    ]
    assert curves.make_panels({"a": []}, {}) == []


def lines_of(svg, colour):
    """The stroked paths in the colour of a run."""
    return [path for path in re.findall(r"<path [^>]*>", svg) if f"var(--run-{colour})" in path]


def test_every_run_has_a_curve_in_its_own_colour():
    rows = [{"step": step, "kl": 1.0 / step} for step in (1, 2)]
    both, one = curves.make_panels(
        {"a": rows, "b": [row | {"loss/model": 1.0} for row in rows]}, {}
    )[::-1]
    assert both.name == "kl" and lines_of(both.svg, 0) and lines_of(both.svg, 1)
    assert one.name == "loss/model" and lines_of(one.svg, 1) and not lines_of(one.svg, 0)


def test_the_scored_checkpoint_is_marked_on_the_page_of_one_run():
    plain, marked = (curves.make_panels({"a": ROWS[1:2]}, m)[0].svg for m in ({}, {"a": 20}))
    assert len(marked) > len(plain)


def test_plots_are_whole_elements_without_addresses_and_with_ids_of_their_own():
    svgs = [panel.svg for panel in curves.make_panels({"<a>": ROWS[:2], "b": ROWS[:2]}, {})]
    ids = []
    for svg in svgs:
        assert "http" not in svg and "<style" not in svg and "#0f0f" not in svg
        root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
        own = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
        named = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
        assert named and named <= set(own)
        ids += own
        assert root.attrib["role"] == "img"
        assert "<a>: " in root.attrib["aria-label"] and "at step 10" in root.attrib["aria-label"]
    assert len(ids) == len(set(ids))


def test_what_the_numbers_of_all_methods_mean():
    assert curves.meaning("loss/discriminator") == "what the discriminator minimises"
    assert "style of another image" in curves.meaning("validation/change/style")
    assert curves.meaning("content/repulsion") == ""
