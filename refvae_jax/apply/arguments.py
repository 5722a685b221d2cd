"""What the verbs on files have in common on the command line, and how they are run.

options = parse("swap", "Exchanges a latent.", argv, out="swap.png", add=(a_and_b, latent))
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from refvae_jax.errors import exit_status
from refvae_jax.files import user_path
from refvae_jax.inference import load
from refvae_jax.model import Model
from refvae_jax.training.devices import use_compilation_cache

MODEL = "a run's folder, one that export wrote, or example:NAME"
Add = Callable[[argparse.ArgumentParser], Any]  # Adds arguments to a parser.


def images(parser: argparse.ArgumentParser) -> None:
    """IMAGES..."""
    parser.add_argument(
        "images", metavar="IMAGES", nargs="+", help="image files, folders or patterns"
    )


def a_and_b(parser: argparse.ArgumentParser) -> None:
    """A B."""
    help_text = "an image file, a folder or a pattern; as many as the other, or one"
    parser.add_argument("a", metavar="A", help=help_text)
    parser.add_argument("b", metavar="B", help=help_text)


def latent(parser: argparse.ArgumentParser) -> None:
    """--latent=NAME."""
    parser.add_argument("--latent", required=True, help="such as content, style, common or target")


def count(default: int, meaning: str) -> Add:
    """--n=N."""
    return lambda parser: parser.add_argument("--n", type=int, default=default, help=meaning)


def seed(parser: argparse.ArgumentParser) -> None:
    """--seed=S."""
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")


def parse(
    verb: str, meaning: str, argv: list[str], *, out: str, add: Sequence[Add]
) -> argparse.Namespace:
    """The options of a verb: RUN, what `add` adds, --step, --out.

    Args:
      verb: its name.
      meaning: one sentence.
      argv: the command line.
      out: default of --out.
      add: further arguments, in their order.
    """
    parser = argparse.ArgumentParser(f"refvae {verb}", description=meaning)
    parser.add_argument("run", metavar="RUN", help=MODEL)
    for argument in add:
        argument(parser)
    parser.add_argument("--step", default="best", help="best (default), last or a number")
    parser.add_argument("--out", type=user_path, default=Path(out), help=f"default: {out}")
    return parser.parse_args(argv)


def run(verb: Callable[[Model, argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Loads the model and calls the verb with it; returns the exit status."""

    def load_and_apply() -> None:
        use_compilation_cache()
        verb(load(options.run, options.step), options)

    return exit_status(load_and_apply, places={options.out: "choose another place with --out"})
