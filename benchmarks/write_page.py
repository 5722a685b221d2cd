"""Runs the benchmarks of docs/speed.md and writes what they print into the page.

python benchmarks/write_page.py                          # all, on a machine that does nothing else
python benchmarks/write_page.py --only training --python .venv311/bin/python .venv/bin/python

The page has places `<!-- measured: NAME -->` ... `<!-- end -->`. Each is filled as soon as its
benchmarks are done, so that an interrupted run keeps what it has measured. The prose around them is
written by hand: read it again afterwards.
"""

import argparse
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.command import available_cpus

ROOT = Path(__file__).resolve().parent.parent


class Benchmark(NamedTuple):
    """A command, `python benchmarks/SCRIPT ARGUMENTS`, without what is the same for all."""

    script: str
    arguments: str


TRAINING = (
    Benchmark("train_step.py", "--config=configs/mnist_gmvae.py --rounds=3 --steps=1"),
    Benchmark("train_step.py", "--config=configs/mnist_gmvae.py:cpu --rounds=8 --steps=4"),
    Benchmark("train_step.py", "--config=configs/celeba_gmvae.py:cpu --rounds=6 --steps=1"),
    Benchmark(
        "train_step.py", "--config=configs/reference_mnist_srbvae.py:cpu --rounds=6 --steps=1"
    ),
)
PROFILE = (
    Benchmark("profile_step.py", "--config=configs/mnist_gmvae.py:cpu --rows=16"),
    Benchmark("profile_step.py", "--config=configs/celeba_gmvae.py:cpu --rows=16"),
    Benchmark("profile_step.py", "--config=configs/reference_mnist_srbvae.py:cpu --rows=16"),
)
START_UP = (Benchmark("start_up.py", ""),)
COLUMNS = (
    "config",
    "jax",
    "ours",
    "PyTorch",
    "ratio by the clock",
    "ratio of CPU time",
    "peak memory, ours / PyTorch",
)


class Failed(Exception):
    """A benchmark ended with an error; the message says which, and why."""


def said_by(python: str, benchmark: Benchmark, *more: str) -> str:
    """What the benchmark prints, run by this interpreter."""
    script = f"benchmarks/{benchmark.script}"
    command = [python, script, *shlex.split(benchmark.arguments), *more]
    print(f"$ {shlex.join(command)}", flush=True)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout, flush=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise Failed(f"{shlex.join(command)}: {reason.removeprefix('error: ')}")
    return done.stdout


def machine() -> str:
    """The processor and how many of its cores are used."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.M) if info.exists() else None
    return f"{len(available_cpus(0))} cores, {found[1] if found else platform.processor()}"


def fenced(text: str, language: str = "text") -> str:
    """A code block of Markdown."""
    return f"```{language}\n{text.strip()}\n```"


def commands(benchmarks: tuple[Benchmark, ...], more: str = "") -> str:
    """The commands as a reader types them."""
    lines = (f".venv/bin/python benchmarks/{b.script} {b.arguments}{more}" for b in benchmarks)
    return fenced("\n".join(line.strip() for line in lines), "sh")


def training(options: argparse.Namespace) -> Iterator[str]:
    """A table with a row for each config and interpreter."""
    yield commands(TRAINING, " --peer=torch")
    yield f"{machine()}:"
    peer = ("--peer=torch", f"--peer_python={options.peer_python}")
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for benchmark in TRAINING:
        config = re.search(r"configs/(\S+)", benchmark.arguments)[1]
        for python in options.python:
            rows.append((f"`{config}`", *training_row(said_by(python, benchmark, *peer))))
    yield "\n".join(f"| {' | '.join(row)} |" for row in rows)


def training_row(said: str) -> tuple[str, ...]:
    """The cells after the config, from what train_step.py prints with a peer."""

    def found(pattern: str) -> tuple[str, ...]:
        return re.search(f"^{pattern}$", said, re.MULTILINE).groups()

    def ratio(name: str) -> str:  # Its least and largest are on the line before.
        spread = r"ratio within a round: ([\d.]+) to ([\d.]+)"
        least, largest, median = found(rf"{spread}\n{name} ([\d.]+)")
        return f"{float(median):.2f} ({least} to {largest})"

    sides = ("ours", "torch")
    seconds = [found(rf"{side}: ([\d.]+) ms per step .*")[0] for side in sides]
    memory = [found(rf"{side}: peak memory (\d+) MB")[0] for side in sides]
    return (
        *found(r"ours: jax (\S+), .*"),
        *(f"{float(ms):,.0f} ms" for ms in seconds),
        ratio("ratio"),
        ratio("ratio of CPU time"),
        f"{' / '.join(memory)} MB",
    )


def profile(options: argparse.Namespace) -> Iterator[str]:
    """The profiles as they are printed."""
    for benchmark in PROFILE:
        yield commands((benchmark,))
        yield fenced(said_by(options.python[-1], benchmark))


def start_up(options: argparse.Namespace) -> Iterator[str]:
    """The parts of the quick start's time as they are printed."""
    yield commands(START_UP)
    for python in options.python:
        yield fenced(said_by(python, *START_UP))


PLACES = {"training": training, "profile": profile, "start_up": start_up}


def filled(page: str, name: str, text: str) -> str:
    """The page with this text in the place of that name.

    Raises:
      Failed: the page has no such place, or more than one.
    """
    begin, end = f"<!-- measured: {name} -->\n", "<!-- end -->"
    parts = re.split(f"({re.escape(begin)}).*?(?={end})", page, flags=re.DOTALL)
    if len(parts) != 3:
        raise Failed(f"the page must have the place {begin.strip()} ... {end} once")
    before, marker, after = parts
    return f"{before}{marker}\n{text}\n\n{after}"


def main(arguments: list[str]) -> int:
    """Runs what is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Measures, and writes docs/speed.md.")
    add = parser.add_argument
    add("--only", nargs="+", choices=PLACES, default=list(PLACES), help="places to fill")
    add("--page", type=Path, default=ROOT / "docs/speed.md", help="default: docs/speed.md")
    add("--python", nargs="+", default=[sys.executable], help="interpreters to measure with")
    add("--peer_python", default=sys.executable, help="the interpreter that has PyTorch")
    options = parser.parse_args(arguments)
    try:
        for name in options.only:
            filled(options.page.read_text(), name, "")  # Before half an hour of measuring.
        for name in options.only:
            text = "\n\n".join(PLACES[name](options))
            options.page.write_text(filled(options.page.read_text(), name, text))
    except (Failed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
