"""The curves of metrics.jsonl as plots that are part of the page.

panels = make_panels({"GM-VAE": rows, "ML-VAE": other_rows}, marks={"GM-VAE": 600})
panels[0].svg   # "<svg ...>", in the colours of the page
"""

import contextlib
import html
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

POINTS = 300  # Of a curve: of more log lines, means of several.
COLOURS = 8  # Of runs, variables of the page's style; then they begin again, with other dashes.
DASHES = ("-", "--", ":", "-.")
FIRST = (
    "loss/",
    "recon",
    "validation/squared_error",
    "kl",
    "validation/",
)  # How the names of the main curves begin.

Rows = Sequence[Mapping[str, float]]  # Lines of metrics.jsonl.

# Stand for variables of the page's style, which the SVG then names instead.
_INK, _GRID = "#0f0f01", "#0f0f02"
_RUNS = [f"#0f0f1{number}" for number in range(COLOURS)]
_VARIABLES = {_INK: "var(--ink)", _GRID: "var(--rule)"} | {
    colour: f"var(--run-{number})" for number, colour in enumerate(_RUNS)
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "refvae_jax",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
}


class Panel(NamedTuple):
    """The plot of one number while runs trained."""

    name: str  # In metrics.jsonl.
    meaning: str
    svg: Markup
    is_main: bool
    averaged: int  # Log lines per point, at most.


def meaning(name: str) -> str:
    """What a number of metrics.jsonl is, in a few words; "" of a term of one method."""
    kind, _, rest = name.partition("/")
    if name == "validation/squared_error":
        return (
            "of reconstructed validation images, per image; the lowest chooses the best checkpoint"
        )
    if name.startswith("validation/change/"):
        return (
            f"how much the {name.rpartition('/')[2]} of another image changes a decoded one: 1 as "
            f"much as another image, 0 not at all"
        )
    words = {
        "loss": f"what the {rest} minimises",
        "recon": "error of reconstructed training images",
        "kl": "divergence of the codes from their prior, in nats",
        "grad_norm": f"length of the gradient of the {rest}",
    }
    if name.startswith("discriminator/accuracy"):
        return "share of inputs that the discriminator is right about"
    return words.get(kind, "")


def make_panels(runs: Mapping[str, Rows], marks: Mapping[str, int]) -> list[Panel]:
    """A Panel of each number that any run logged, those of FIRST before the others.

    Args:
      runs: {name of a run: lines of its metrics.jsonl}.
      marks: {name of a run: the step of the checkpoint that was scored}, where one was.
    """
    curves = {run: curves_of(rows) for run, rows in runs.items()}
    names = sorted({name for found in curves.values() for name in found}, key=_place)
    with _axes() as axes:
        return [
            _make_panel(
                name, {run: found.get(name) for run, found in curves.items()}, marks, number, axes
            )
            for number, name in enumerate(names)
        ]


def _place(name: str) -> tuple[int, str]:
    return next((i for i, start in enumerate(FIRST) if name.startswith(start)), len(FIRST)), name


def curves_of(rows: Rows) -> dict[str, np.ndarray]:
    """{name: float [N, 2] of steps and values} of the lines of a metrics.jsonl."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step":
                found.setdefault(name, []).append((row["step"], value))
    return {name: np.array(points, float) for name, points in found.items()}


def thinned(curve: np.ndarray) -> tuple[np.ndarray, int]:
    """At most POINTS points of a curve [N, 2], means of neighbours; and of how many, at most."""
    each = math.ceil(len(curve) / POINTS)
    starts = range(0, len(curve), each)
    return np.array([curve[start : start + each].mean(axis=0) for start in starts]), each


def _make_panel(
    name: str,
    curves: Mapping[str, np.ndarray | None],
    marks: Mapping[str, int],
    number: int,
    axes: Any,
) -> Panel:
    known = {run: curve for run, curve in curves.items() if curve is not None}
    drawn = {run: thinned(curve) for run, curve in known.items()}
    numbers = {run: place for place, run in enumerate(curves)}
    svg = _plot(
        axes,
        {numbers[run]: points for run, (points, _) in drawn.items()},
        # Of several runs the lines would be as many as the curves.
        list(marks.values()) if len(curves) == 1 else [],
    )
    words = "; ".join(_words(run if len(curves) > 1 else "", c) for run, c in known.items())
    return Panel(
        name=name,
        meaning=meaning(name),
        svg=embedded(svg, f"p{number}-", f"Plot of {name} against training steps. {words}."),
        is_main=_place(name)[0] < len(FIRST),
        averaged=max(each for _, each in drawn.values()),
    )


def _words(run: str, curve: np.ndarray) -> str:
    """What the curve [N, 2] of a run says, for those who cannot see it."""
    (first, start), (last, end) = curve[0], curve[-1]
    low, high = curve[:, 1].min(), curve[:, 1].max()
    return (
        f"{run}{': ' * bool(run)}{start:.4g} at step {first:.0f}, {end:.4g} at step {last:.0f}, "
        f"between {low:.4g} and {high:.4g}"
    )


@contextlib.contextmanager
def _axes() -> Iterator[Any]:
    """Empty Axes to draw one panel after another in: to make them takes longer than to draw."""
    from matplotlib import rc_context  # half a second, and only needed here
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        # Fixed: to find the room that the labels need takes as long as all the rest.
        axes = Figure(figsize=(4.4, 2.5)).add_axes((0.13, 0.18, 0.86, 0.75))
        axes.grid(linewidth=0.6)
        axes.set_xlabel("step")
        axes.locator_params(nbins=5)
        yield axes


def _plot(axes: Any, curves: Mapping[int, np.ndarray], marks: Sequence[int]) -> str:
    """An SVG of curves {number of the run: [N, 2]}, with a line at each marked step.

    Args:
      axes: of `_axes`, which are left empty.
      curves, marks: what is drawn.
    """
    for step in marks:
        axes.axvline(step, color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.6)
    for number, points in curves.items():
        axes.plot(
            *points.T,
            color=_RUNS[number % COLOURS],
            linestyle=DASHES[number // COLOURS % len(DASHES)],
            linewidth=1.6,
            marker="o" if len(points) < 20 else "",
            markersize=3,
        )
    axes.relim()  # The limits of the panel before count no more.
    axes.autoscale()
    content = io.StringIO()
    axes.figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    for line in [*axes.lines]:
        line.remove()
    return content.getvalue()


def embedded(svg: str, prefix: str, label: str) -> Markup:
    """An SVG of matplotlib as an element of a page, in the page's colours.

    Args:
      svg: a whole SVG file.
      prefix: of its ids: those of two plots must differ.
      label: for those who cannot see it.
    """
    head, _, body = svg[svg.index("<svg") :].partition(">")
    (viewbox,) = re.findall(r'viewBox="[^"]*"', head)
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", body)
    body = re.sub(r" ?font-family: [^;]*;", "", body)  # That of the page.
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    return Markup(f'<svg role="img" aria-label="{html.escape(label)}" {viewbox}>{body}')
