"""Where and by which command a run was trained: a line of launches.jsonl per start of training.

append_json_line(describe(step=0, command="python launch.py ..."), workdir / FILE)
read(workdir)   # the lines that count
"""

import hashlib
import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from refvae_jax.files import read_json_lines
from refvae_jax.version import __version__

FILE = "launches.jsonl"
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")  # What the numbers of a run depend on.


def library_versions() -> dict[str, str]:
    """{library: version} of LIBRARIES."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def code_digest() -> str:
    """What tells the code of this package from any other, in 12 letters."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def describe(step: int, command: str) -> dict[str, Any]:
    """A line of launches.jsonl, ready for JSON.

    Args:
      step: from which training goes on.
      command: as typed; "" if training was started from Python.
    """
    import jax

    devices = jax.devices()
    return {
        "step": step,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "processes": jax.process_count(),
        "host": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            "refvae_jax": f"{__version__} (code {code_digest()})",
            **library_versions(),
        },
    }


def read(workdir: Path) -> list[dict[str, Any]]:
    """The lines of a run, by step: of several from one step, all but the last were of no use."""
    rows = {row["step"]: row for row in read_json_lines(workdir / FILE)}
    return [rows[step] for step in sorted(rows)]
