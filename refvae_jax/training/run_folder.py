"""The folder of a run, as users name it.

run = find_run("~/runs/quickstart-s0")    # or an error message that says what the path is instead
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any

from refvae_jax.buckets import check_reachable, is_bucket
from refvae_jax.errors import UserError
from refvae_jax.files import as_path, exists, is_dir, user_path

CHECKPOINT_DIR = "checkpoints"
MANIFEST = "MANIFEST.json"  # In a checkpoint: the digests of its files.
_OWN_DIRS = (CHECKPOINT_DIR, "damaged", "figures")  # Below a run's folder.
_NAMED = 3  # Runs listed in a message.
_ADVICE = "Name the folder of a run; python launch.py --config=... trains one."


def steps(workdir: str | Path) -> list[int]:
    """The steps of the committed checkpoints, ascending."""
    folder = as_path(workdir) / CHECKPOINT_DIR
    # A folder appears by a rename, when it is whole; in a bucket the manifest is written last.
    found = (
        [p.parent for p in folder.glob(f"*/{MANIFEST}")] if is_bucket(folder) else folder.glob("*")
    )
    return sorted(int(p.name) for p in found if p.name.isdigit())


def read_record(workdir: str | Path, step: int) -> dict[str, Any]:
    """What was saved beside the parameters of a checkpoint: its config and the images' shape."""
    return record_in(as_path(workdir) / CHECKPOINT_DIR / str(step))


def record_in(folder: Path) -> dict[str, Any]:
    """The same of the folder of a checkpoint."""
    return json.loads((folder / "record" / "metadata").read_text())


def has_checkpoints(folder: Path) -> bool:
    """Whether it holds any; not if it cannot be looked into."""
    try:
        return bool(steps(folder))
    except OSError:
        return False


def is_run(folder: Path) -> bool:
    """Whether it holds a config of a run or a checkpoint; not if it cannot be looked into."""
    return has_checkpoints(folder) or _is_config(folder / "config.json")


def _is_config(path: Path) -> bool:
    """Whether it is the config of a run: programs of others name files so too."""
    try:
        fields = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and {"method", "data"} <= fields.keys()


def check_not_inside(path: Path) -> None:
    """Raises UserError if the path is one of the files or folders that a run has written."""
    if is_run(path):
        return
    # Unlike the methods of Path, the functions of os.path raise nothing.
    real = path if is_bucket(path) else Path(os.path.realpath(path))
    for run in filter(is_bucket, real.parents) if is_bucket(path) else real.parents:
        inner = real.relative_to(run).parts
        own = inner[0] in _OWN_DIRS or (len(inner) == 1 and exists(real) and not is_dir(real))
        if own and is_run(run):
            raise UserError(f"{path} is inside a run: name {run}.")


def named_folder(path: str | Path) -> Path:
    """The Path of what a user wrote as the name of a run; `~` is the home folder.

    Raises:
      UserError: nothing was written.
    """
    if not str(path):
        raise UserError("The name of the run is empty: name a folder, such as runs/quickstart-s0.")
    return user_path(path)


def find_run(path: str | Path) -> Path:
    """The folder of a run, where `~` is the home folder.

    Raises:
      UserError: the path is not that of a run.
    """
    folder = named_folder(path)
    if is_bucket(folder):
        check_reachable(folder)
    if is_run(folder):
        return folder
    check_not_inside(folder)
    if not exists(folder):
        raise UserError(f"There is no run in {folder}: there is no such folder. {_ADVICE}")
    if not is_dir(folder):
        raise UserError(f"{folder} is a file: name the folder of a run.")
    try:
        runs = sorted(inner.name for inner in folder.iterdir() if is_run(inner))
    except OSError as error:
        raise UserError(
            f"There is no run in {folder} that can be read: {error.strerror}. {_ADVICE}"
        ) from error
    if runs:
        more = f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else ""
        raise UserError(
            f"{folder} is not a run, but holds {', '.join(runs[:_NAMED])}{more}: name one of them, "
            f"such as {folder / runs[0]}."
        )
    raise UserError(
        f"{folder} is not a run: it holds neither the config.json of one nor checkpoints. {_ADVICE}"
    )


def score_advice(run: str | Path) -> str:
    """What to do about a run without scores: the command, whose CONFIG no run knows.

    Args:
      run: its folder, or a word for it.
    """
    return (
        f"run `python launch.py --config=CONFIG --workdir={shlex.quote(str(run))} --mode=eval` "
        f"with the flags of its training"
    )


def copy_advice(run: Path, name_copy: str) -> str:
    """What to do if a run cannot be written to, see `errors.explain_disk_errors`.

    Args:
      run: its folder.
      name_copy: how the copy, COPY, is then named on the command line.
    """
    return (
        f"copy the run with `cp -r --no-preserve=mode {shlex.quote(str(run))} COPY` and name the "
        f"copy, {name_copy}, since what is made of a run is written into its folder"
    )
