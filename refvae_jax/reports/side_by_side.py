"""What runs that are shown beside each other must have in common, and what they are then called."""

from pathlib import Path

from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax.errors import UserError
from refvae_jax.reports.layouts import TITLES


def check_same_data(runs: dict[Path, ConfigDict]) -> None:
    """Raises UserError unless all of {workdir: config} show a model the same images."""
    (first, wanted), *others = ((path, configs.flatten(c)) for path, c in runs.items())
    for path, flat in others:
        exempt = configs.FREE_FIELDS + configs.SUPERVISION_FIELDS
        names = configs.differences(wanted, flat, exempt)
        for name in (name for name in names if name.startswith("data.")):
            if "data.name" in names:  # Then other fields differ because of it.
                name = "data.name"
            raise UserError(
                f"{first} and {path} saw other images, config.{name} is {wanted[name]!r} and "
                f"{flat[name]!r}: compare runs on the same data."
            )


def titles(runs: dict[Path, ConfigDict]) -> dict[Path, str]:
    """{workdir: the name of its method}; its folder too, where another run has the same method."""
    names = {path: TITLES.get(c.method.name, c.method.name) for path, c in runs.items()}
    every, folders = list(names.values()), [path.name for path in runs]
    shown = {path: path.name if folders.count(path.name) == 1 else path for path in runs}
    return {p: n if every.count(n) == 1 else f"{n} ({shown[p]})" for p, n in names.items()}
