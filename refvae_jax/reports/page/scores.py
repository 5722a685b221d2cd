"""Tables of scores for the page of a report, a line per score and a column per run."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from refvae_jax.evaluation.overview import is_detail
from refvae_jax.evaluation.questions import question
from refvae_jax.evaluation.score import Score
from refvae_jax.reports.finished_runs import FinishedRun
from refvae_jax.reports.layouts import (
    LAYOUTS,
    TITLES,
    Layout,
    columns_of,
    find,
    find_layout,
    is_known,
    published_value,
)


class Line(NamedTuple):
    """One score of every run; None of runs that have none."""

    name: str
    question: str
    scores: list[Score | None]
    papers: list[float | None]

    @property
    def one(self) -> Score:
        """The first Score that there is: which way is better, and chance, where all agree."""
        return next(score for score in self.scores if score is not None)


class Block(NamedTuple):
    """Lines below one heading, "" for none."""

    heading: str
    lines: list[Line]


class Sheet(NamedTuple):
    """A table of scores."""

    title: str
    blocks: list[Block]
    notes: list[str]

    @property
    def lines(self) -> list[Line]:
        """Those of all blocks."""
        return [line for block in self.blocks for line in block.lines]

    @property
    def limit(self) -> float:
        """The end of a scale from 0 on which all numbers of the table can be placed."""
        numbers = [n for line in self.lines for n in _numbers(line)]
        return max(1.0 if self._in_shares else 0.0, *numbers) or 1.0

    @property
    def has_papers(self) -> bool:
        """Whether a paper reports any of it."""
        return any(paper is not None for line in self.lines for paper in line.papers)

    @property
    def _in_shares(self) -> bool:
        return any("accuracy" in line.one.probe for line in self.lines)


def _numbers(line: Line) -> Iterator[float]:
    for score in filter(None, line.scores):
        yield from (score.value, score.chance, score.untrained or 0.0)
    yield from (paper for paper in line.papers if paper is not None)


def main_sheets(runs: Sequence[FinishedRun]) -> list[Sheet]:
    """What the papers' tables show of runs, a Sheet per kind of table; none of runs without."""
    kinds = {run.folder: find_layout(run) for run in runs}
    sheets = []
    for name, layout in LAYOUTS.items():
        alike = [run for run in runs if kinds[run.folder] == name]
        if not alike:
            continue
        blocks = [
            Block(heading, lines)
            for heading in layout.blocks
            if (lines := list(_main_lines(runs, alike, layout, heading)))
        ]
        if len(blocks) > 1:  # Then the first one, too, is to be told from the others.
            blocks = [b._replace(heading=b.heading or _origin(b)) for b in blocks]
        sheets.append(Sheet("Main scores", blocks, [layout.meaning]))
    return sheets


def _origin(block: Block) -> str:
    latents = dict.fromkeys(s.latent for line in block.lines for s in line.scores if s)
    return "*from* " + ", ".join(f"`{latent}`" for latent in latents)


def _main_lines(
    runs: Sequence[FinishedRun], alike: Sequence[FinishedRun], layout: Layout, heading: str
) -> Iterator[Line]:
    """The Lines of one heading of a Layout; runs of another kind have no scores in them."""
    latents = layout.blocks[heading]
    for column in columns_of(alike, layout):
        scores = [find(run, layout, latents, column) if run in alike else None for run in runs]
        papers = [
            published_value(run, heading, column, score) if score else None
            for run, score in zip(runs, scores, strict=True)
        ]
        if known := next(filter(None, scores), None):
            yield Line(column, question(known), scores, papers)


SOURCES = {  # Headings of all scores, by what was looked at.
    "mean": "Read from the posterior means",
    "sample": "Read from posterior samples",
    "swap": "Seen in swaps",
    "resample": "Seen where a latent was drawn anew",
    "reconstruction": "Seen in reconstructions",
    "images": "Seen in real images",
}


def whole_sheets(runs: Sequence[FinishedRun]) -> list[Sheet]:
    """Every score of the runs: the Sheet of main ones, then that of details, if there are any."""
    by_name = [{score.name: score for score in run.scores if is_known(score)} for run in runs]
    names = dict.fromkeys(name for scores in by_name for name in scores)
    kinds: dict[bool, dict[str, list[Line]]] = {False: {}, True: {}}
    for name in names:
        scores = [found.get(name) for found in by_name]
        one = next(score for score in scores if score)
        papers = [score.paper if score else None for score in scores]
        below = kinds[is_detail(one)].setdefault(SOURCES.get(one.source, one.source), [])
        below.append(Line(name, question(one), scores, papers))
    return [
        Sheet(title, [Block(heading, lines) for heading, lines in kinds[detail].items()], [])
        for title, detail in (("Scores of the test images", False), ("In finer detail", True))
        if kinds[detail]
    ]


class Change(NamedTuple):
    """How a run's score differs from that of the first run."""

    amount: float
    verdict: str  # "better", "worse", or "" where they are printed the same.


def change(line: Line, number: int) -> Change | None:
    """The Change of a run's score; None of the first run, or where one of the two has none."""
    first, score = line.scores[0], line.scores[number]
    if number == 0 or first is None or score is None:
        return None
    amount = score.value - first.value
    if abs(amount) < 0.0005:
        return Change(amount, "")
    return Change(amount, "better" if (amount > 0) == (score.better == "higher") else "worse")


def title_of(method: str) -> str:
    """The name of a method as its paper writes it."""
    return TITLES.get(method, method)
