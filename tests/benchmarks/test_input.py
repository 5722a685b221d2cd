import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
SMALL = (
    "--config=configs/quickstart.py:smoke",
    "--config.data.crop=-1",
    "--config.data.resolution=16",
    "--config.network.encoder_widths=(4, 4)",
    "--config.network.decoder_widths=(4,)",
)


def benchmark(name, *arguments):
    return subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_the_last_line_is_the_pipeline_over_the_step():
    done = benchmark("input_pipeline", *SMALL, "--rounds=2", "--steps=1", "--batches=10")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for pattern in (
        r"\d+ CPUs, batches of 32, 512 training images 16 x 16 x 1",
        r"pipeline: [\d.]+ ms per batch \(fastest block [\d.]+\)",
        r"step: \d+ images/s",
        r"pipeline: memory \d+ MB after an epoch, \d+ MB after 1.2 more; peak \d+ MB .*",
    ):
        assert any(re.fullmatch(pattern, line) for line in lines), pattern
    word, number = lines[-1].split()
    assert word == "ratio" and float(number) > 0


def test_preparation_of_made_pictures():
    config = "--config=configs/folder_srbvae.py"
    done = benchmark("preparation", config, "--made=200", "--images=8000")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"prepared 80 images 64 x 64 x 3 in [\d.]+ s", lines[0])
    assert 64 * 64 * 3 < int(lines[2].split()[0]) < 64 * 64 * 3 + 20
    assert re.fullmatch(r"8,000 images: \d+ s, 0.10 GB on disk", lines[-1])


def test_encoding_of_made_files():
    done = benchmark("encode_files", *SMALL, "--images=40")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"encoded 40 PNGs of [\d.]+ kB in [\d.]+ s", lines[0])
    assert re.fullmatch(r"\d+ images/s, [\d.]+ ms of CPU per image", lines[1])
    assert re.fullmatch(r"peak memory \d+ MB, \d+ MB of it after 1024 images", lines[2])


def test_missing_data_give_an_error_message(tmp_path):
    nowhere = f"--config.data.dir={tmp_path}/none"
    done = benchmark("preparation", "--config=configs/folder_gmvae.py", nowhere)
    assert done.returncode == 2
    assert "There is no folder" in done.stderr and "Traceback" not in done.stderr
