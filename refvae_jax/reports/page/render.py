"""The page as HTML: one text that needs no other file and fetches nothing.

html = render(read_shown(["runs/quickstart-s0"]))
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import jinja2
from markupsafe import Markup, escape

from refvae_jax import config as configs
from refvae_jax.reports.markdown import shown
from refvae_jax.reports.page import curves, pictures, repeat, scores
from refvae_jax.reports.page.shown_run import ShownRun
from refvae_jax.version import __version__


def code_marks(text: str) -> Markup:
    """Text with Markdown's `code` and *emphasis* as HTML; all else is escaped."""

    def element(found: re.Match[str]) -> str:
        code, emphasis = found.groups()
        return f"<code>{code}</code>" if code else f"<em>{emphasis}</em>"

    return Markup(re.sub(r"`([^`]+)`|\*([^*]+)\*", element, str(escape(text))))


def place(value: float, limit: float) -> str:
    """Where a value lies on the scale from 0 to limit of a strip 120 wide, in the template."""
    return f"{4 + 112 * min(max(value / limit, 0), 1):.1f}"


def environment() -> jinja2.Environment:
    """The templates; everything that they are given is escaped."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"shown": shown, "code_marks": code_marks, "thousands": "{:,}".format}
    made.globals |= {"change": scores.change, "place": place, "zip": zip}
    return made


def render(runs: Sequence[ShownRun]) -> str:
    """The page of one run, or of several side by side."""
    finished = [run.scored for run in runs if run.scored]
    panels = curves.make_panels(
        {run.title: run.rows for run in runs},
        {run.title: run.scored.best_step for run in runs if run.scored},
    )
    return (
        environment()
        .get_template("page.html")
        .render(
            runs=[described(run) for run in runs],
            facts=facts_of(runs),
            title=title_of(runs),
            sheets=scores.main_sheets(finished),
            whole=scores.whole_sheets(finished),
            scored=[place for place, run in enumerate(runs) if run.scored],
            panels=panels,
            figures=figures_of(runs),
            differing=repeat.fields_that_differ([run.config for run in runs]),
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            libraries={name: version(name) for name in ("matplotlib", "jinja2")},
        )
    )


def title_of(runs: Sequence[ShownRun]) -> str:
    """`GM-VAE on digits5k`, `GM-VAE and ML-VAE on digits5k`, `3 runs on digits5k`."""
    names = f"{len(runs)} runs" if len(runs) > 2 else " and ".join(run.title for run in runs)
    return f"{names} on {runs[0].config.data.name}"


def described(run: ShownRun) -> dict[str, Any]:
    """What the page tells of one run beside facts, numbers and pictures."""
    return {
        "title": run.title,
        "folder": str(run.folder),
        "launches": run.launches,
        "commands": repeat.commands_of(run.launches),
        "full_command": repeat.command_of(run.config),
        "config": json.dumps(run.config.to_dict(), indent=2),
    }


def facts_of(runs: Sequence[ShownRun]) -> dict[str, list[str | None]]:
    """{term: words about each run, None of a run of which it is not known}."""
    facts = [dict(_facts(run)) for run in runs]
    terms = dict.fromkeys(term for known in facts for term in known)
    return {term: [known.get(term) for known in facts] for term in terms}


def _facts(run: ShownRun) -> Iterator[tuple[str, str]]:
    """Yields (term, words)."""
    config, record = run.config, run.record
    yield "Method", scores.title_of(config.method.name)
    yield "Data", str(configs.own_folder(configs.flatten(config)) or config.data.name)
    if record:
        size = " x ".join(map(str, record["image_shape"]))
        yield "Training images", f"{record['num_train_images']:,} of {size}"
    whole = "" if run.trained_steps == config.num_train_steps else f" of {config.num_train_steps:,}"
    yield "Steps", f"{run.trained_steps:,}{whole}, with {config.batch_size:,} images each"
    if record:
        yield "Epochs", f"{run.trained_steps * config.batch_size / record['num_train_images']:.1f}"
    yield "Seed", str(config.seed)
    if run.scored:
        latents = {score.latent for score in run.scored.scores} & set(config.latents)
        sizes = ", ".join(f"`{name}` of {config.latents[name]}" for name in sorted(latents))
        yield "Latents", code_marks(sizes)
        yield "Scored", f"the checkpoint of step {run.scored.best_step:,}"
        if run.scored.images_per_second:
            yield "Speed", f"{run.scored.images_per_second:,.0f} images/s"
    if run.launches:
        last = run.launches[-1]
        yield "Devices", f"{last['devices']} ({last['host']})"
        yield "Started", run.launches[0]["started"].replace("T", " ").replace("+00:00", " UTC")


def figures_of(runs: Sequence[ShownRun]) -> list[dict[str, Any]]:
    """The figures that any run has: words, and a Picture or None of each run."""
    drawn = [pictures.embed_all(run.folder / "figures") for run in runs]
    return [
        {
            "caption": next(found[name].caption for found in drawn if name in found),
            "pictures": [found.get(name) for found in drawn],
        }
        for name in pictures.in_order(name for found in drawn for name in found)
    ]
