"""What is shown of the scores of one model: on the terminal, and on the page of a report."""

from collections.abc import Sequence

from refvae_jax.evaluation.score import Score

COLUMNS = ("value", "chance", "untrained", "paper")


def known_columns(scores: Sequence[Score]) -> list[str]:
    """Those of COLUMNS of which any Score has a number."""
    return [c for c in COLUMNS if any(getattr(score, c) is not None for score in scores)]


def is_detail(score: Score) -> bool:
    """Whether a Score is only counted on the terminal.

    Single classes, explained shares and errors from a sample: most of a hundred lines where there
    are continuous factors.
    """
    error_of_sample = score.source == "sample" and score.probe in ("mae", "strong_mae")
    return bool(score.class_name) or score.probe == "r2" or error_of_sample


def format_table(scores: list[Score]) -> str:
    """The main Scores as lines of text, beside chance, an untrained model and the paper."""
    shown = [score for score in scores if not is_detail(score)]
    columns = known_columns(shown)
    width = max(len(score.name) for score in shown)
    lines = [f"{'score':<{width}}" + "".join(f"{c:>11}" for c in columns) + "  better"]
    for score in shown:
        values = [getattr(score, column) for column in columns]
        cells = "".join(f"{'':>11}" if v is None else f"{v:>11.4f}" for v in values)
        lines.append(f"{score.name:<{width}}{cells}  {score.better}")
    if len(shown) < len(scores):
        lines.append(f"and {len(scores) - len(shown)} more, in finer detail, in results.json")
    return "\n".join(lines)
