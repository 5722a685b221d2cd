"""The benchmark of a mesh and of four devices: a small step, once."""

import re
import subprocess
import sys

import pytest

from tests.benchmarks.test_train_step import SMALL
from tests.conftest import ROOT


@pytest.mark.slow
def test_the_ratios_are_those_of_the_times():
    done = subprocess.run(
        [sys.executable, "benchmarks/devices.py", *SMALL, "--rounds=1", "--steps=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ms = {form: float(t) for form, t in re.findall(r"^(\w+): ([\d.]+) ms", done.stdout, re.M)}
    ratios = re.findall(r"^(\w+) / (\w+) ([\d.]+) \((\S+) to (\S+) by round\)$", done.stdout, re.M)
    assert [(form, than) for form, than, *_ in ratios] == [("one", "plain"), ("four", "one")]
    for form, than, *found in ratios:
        assert [float(x) for x in found] == pytest.approx([ms[than] / ms[form]] * 3, rel=0.05)
