"""Where the time of a whole run goes, part by part: its first start, and a start with warm caches.

python benchmarks/start_up.py
python benchmarks/start_up.py --config=configs/quickstart_reference.py --num_train_steps=200

Runs `launch.py` twice in processes of their own: with empty caches of compiled programs, decoded
images and prepared data, in a temporary directory, then with what the first run left there. Parts
are those of the main thread, each without the parts inside it. CPU time is that of all threads,
also of those that work beside it: on a machine that does other things only it can be compared.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.command import available_cpus

ROOT = Path(__file__).resolve().parent.parent
FIRST_STEP = "until the first step is done"
AFTERWARDS = (
    "waiting for judges",
    "parameters of the untrained model",
    "probes and swaps",
    "figures",
)
ORDER = (
    "imports",
    "data",
    "preparing to train",
    "compiling the step",
    "training and validation",
    *AFTERWARDS,
    "report",
)


def timed_run(arguments, caches, name):
    """What `benchmarks.timed_launch` records of `launch.py ARGUMENTS` with these caches."""
    record = Path(caches, f"{name}.json")
    command = [sys.executable, "-m", "benchmarks.timed_launch", record, repr(time.time())]
    workdir = f"--workdir={caches}/{name}"
    places = {"XDG_CACHE_HOME": f"{caches}/xdg", "TFDS_DATA_DIR": f"{caches}/tfds"}
    done = subprocess.run(
        [*map(str, command), *arguments, workdir],
        cwd=ROOT,
        env=os.environ | places,
        stdout=sys.stderr,
    )
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(record.read_text())


def table(empty, warm):
    """The lines of the table of two records."""
    yield f"{'':34}{'empty caches':>20}{'warm caches':>20}"
    yield f"{'seconds':34}{'clock':>12}{'CPU':>8}{'clock':>12}{'CPU':>8}"

    def row(label, *pairs):
        return f"{label:34}" + "".join(f"{clock:12.1f}{cpu:8.1f}" for clock, cpu in pairs)

    for part in ORDER:
        yield row(part, *(record["parts"].get(part, (0, 0)) for record in (empty, warm)))
    yield row("all", *(total(record, ORDER) for record in (empty, warm)))
    yield row(FIRST_STEP, empty["first_step"], warm["first_step"])
    yield row("evaluation and figures", *(total(record, AFTERWARDS) for record in (empty, warm)))
    yield f"{'programs compiled':34}{empty['compiled']:20}{warm['compiled']:20}"


def total(record, parts):
    """(seconds by the clock, of the CPU) of several parts of a record."""
    found = [record["parts"].get(part, (0, 0)) for part in parts]
    return sum(clock for clock, _ in found), sum(cpu for _, cpu in found)


def main():
    """Runs twice and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="configs/quickstart.py", help="a file of configs/")
    parser.add_argument("--num_train_steps", type=int, default=50, help="of both runs")
    options, more = parser.parse_known_args()
    steps = f"--config.num_train_steps={options.num_train_steps}"
    arguments = [f"--config={options.config}", steps, *more]
    with tempfile.TemporaryDirectory() as caches:
        Path(caches, "tfds").mkdir()
        records = [timed_run(arguments, caches, name) for name in ("empty", "warm")]
    print(
        f"{options.config}, {options.num_train_steps} steps; {len(available_cpus(0))} cores, "
        f"Python {platform.python_version()}, jax {records[0]['jax']}"
    )
    print("\n".join(table(*records)))


if __name__ == "__main__":
    main()
