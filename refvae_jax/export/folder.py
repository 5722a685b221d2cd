"""Writes a trained model into a folder that needs neither this package nor its data.

python -m refvae_jax export runs/quickstart-s0 --out=model

parameters.npz, model.json   what `packed.py` describes
encode.jax, decode.jax       the programs of `programs.py`
read.py                      both as functions of numpy arrays
README.md                    the model card
flatbuffers/                 what jax.export reads programs with, and does not bring
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import flatbuffers
import jax
from ml_collections import ConfigDict

import refvae_jax
from refvae_jax import config as configs
from refvae_jax import packed
from refvae_jax.apply import arguments
from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError, exit_status
from refvae_jax.evaluation.score import from_json
from refvae_jax.export.card import card
from refvae_jax.export.programs import make_programs
from refvae_jax.files import check_writable, exists, is_dir, user_path
from refvae_jax.inference import Stored, model_of, read
from refvae_jax.training.run_folder import check_not_inside, find_run, score_advice

READER = Path(__file__).with_name("reader.py")


def results_and_licence(run: str) -> tuple[dict[str, Any] | None, str]:
    """Of a packed model both as it has them; of a run the content of results.json, and "".

    The results are None if it was not scored.

    Raises:
      UserError: there is no such run, or its results.json is damaged.
    """
    folder = packed.packed_folder(run)
    if folder is not None:
        description = packed.read_description(folder)
        return description["results"], description.get("licence", "")
    path = find_run(run) / "results.json"
    if not exists(path):
        return None, ""
    try:
        results = json.loads(path.read_text())
        from_json(results["scores"])
        return results, ""
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {error}): to score the run again, "
            f"{score_advice(run)}."
        ) from error


def without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """A config, as JSON has it, that names no folder of this machine but that of own images."""
    own = configs.own_folder(configs.flatten(ConfigDict(config)))
    return config | {"data": config["data"] | {"cache_dir": "", "dir": own.name if own else ""}}


def describe(
    stored: Stored, sizes: dict[str, int], results: dict[str, Any] | None, licence: str
) -> dict[str, Any]:
    """The content of model.json.

    Args:
      stored: the checkpoint.
      sizes: {latent: D}.
      results: content of results.json, None if there is none.
      licence: of the model, "" if it was not said.
    """
    record = stored.record | {"config": without_folders(stored.record["config"])}
    if results is not None:
        results = results | {"config": without_folders(results["config"])}
    return {
        "format": packed.FORMAT,
        "versions": {"refvae_jax": refvae_jax.__version__, "jax": jax.__version__},
        "licence": licence,
        "step": stored.step,
        "latents": sizes,
        "record": record,
        "results": results,
    }


def write(stored: Stored, results: dict[str, Any] | None, licence: str, folder: Path) -> None:
    """Writes all files of an exported model into an empty folder; arguments as of `describe`."""
    description = describe(stored, model_of(*stored[:2]).latent_sizes, results, licence)
    for name, program in make_programs(stored.variables, stored.record).items():
        (folder / f"{name}.jax").write_bytes(program.serialize())
    packed.write(folder, stored.variables, description)
    (folder / "README.md").write_text(card(description))
    shutil.copy(READER, folder / "read.py")
    (folder / "flatbuffers").mkdir()
    for file in Path(flatbuffers.__file__).parent.glob("*.py"):
        shutil.copy(file, folder / "flatbuffers")


def check_new(out: Path) -> None:
    """Raises UserError unless a new folder can be made of this name; OSError if nothing can."""
    if is_bucket(out):
        raise UserError(f"--out={out} is in a bucket: name a local folder, and copy it there.")
    check_not_inside(out)
    if exists(out) and not is_dir(out):
        raise UserError(f"--out={out} is a file: name a new folder.")
    if is_dir(out) and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty: name a new folder.")
    check_writable(out)


def export(options: argparse.Namespace) -> None:
    """Exports the model of the options: the whole folder appears at once, or none."""
    check_new(options.out)
    out = options.out.absolute()
    stored = read(options.run, options.step)
    results, licence = results_and_licence(options.run)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch:
        folder = Path(scratch, out.name)
        folder.mkdir()
        write(stored, results, options.licence or licence, folder)
        folder.replace(out)
    LOGGER.info(f"wrote {options.out}: its README.md says how to use it")


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Writes a trained model into a folder that needs jax and numpy alone."
    parser = argparse.ArgumentParser("refvae export", description=meaning)
    parser.add_argument("run", metavar="RUN", help=arguments.MODEL)
    parser.add_argument("--step", default="best", help="best (default), last or a number")
    parser.add_argument(
        "--licence",
        default="",
        help="of the model, for its card: Apache-2.0; default: that of RUN, if it was exported",
    )
    parser.add_argument("--out", type=user_path, default=Path("model"), help="default: model")
    options = parser.parse_args(argv)
    places = {options.out: "choose another place with --out"}
    return exit_status(export, options, places=places)
