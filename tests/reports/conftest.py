"""A run's folder, made without training."""

import json

import numpy as np
import pytest

from refvae_jax import config as configs
from refvae_jax import config_rules
from refvae_jax.evaluation.score import Score
from refvae_jax.figures.files import save_gif, save_png
from refvae_jax.files import append_json_line

SCORES = [
    Score(0.93, "strong_accuracy", "mean", "higher", 0.1, "content", "label", untrained=0.52),
    Score(0.99, "paper_accuracy", "mean", "higher", 0.1, "content", "label", paper=0.992),
    Score(0.69, "strong_accuracy", "mean", "lower", 0.1, "style", "label", untrained=0.57),
    Score(0.875, "accuracy", "swap", "higher", 0.099, "content", "label", untrained=0.1),
    Score(0.02, "mse", "reconstruction", "lower", 0.05),
    Score(0.4, "mae", "sample", "lower", 0.5, "style", "width"),
]
LAUNCH = {
    "step": 0,
    "started": "2026-01-02T03:04:05+00:00",
    "command": "python launch.py --config=configs/quickstart.py --config.seed=1",
    "devices": "1 x cpu",
    "processes": 1,
    "host": "Linux x86_64, 2 cores",
    "versions": {"python": "3.13.0", "refvae_jax": "0.2.0 (code 0123456789ab)", "jax": "0.12.0"},
}


def make_run(folder, scores=SCORES, digest="abc", fields=(), method="gmvae"):
    """Makes the folder of a run that is trained, scored and drawn; returns it."""
    config = config_rules.defaults()
    config.num_train_steps, config.method.name = 600, method
    config.update_from_flattened_dict(dict(fields))
    record = {"image_shape": [32, 32, 1], "num_train_images": 3600, "train_digest": digest}
    (folder / "checkpoints" / "600" / "record").mkdir(parents=True)
    (folder / "checkpoints" / "600" / "record" / "metadata").write_text(json.dumps(record))
    configs.write(config, folder / "config.json")
    results = {
        "method": method,
        "dataset": config.data.name,
        "seed": config.seed,
        "steps": 500,
        "trained_steps": 600,
        "config": config.to_dict(),
        "images_per_second": 1234.5,
        "scores": {score.name: score.to_json() for score in scores},
    }
    (folder / "results.json").write_text(json.dumps(results))
    for step in range(100, 601, 100):
        append_json_line(
            {"step": step, "loss/model": 100 / step, "style/dependence": 0.1},
            folder / "metrics.jsonl",
        )
        append_json_line(
            {"step": step, "validation/squared_error": 50 / step}, folder / "metrics.jsonl"
        )
    append_json_line(LAUNCH, folder / "launches.jsonl")
    small = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), np.uint8)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    save_png(large[0], folder / "figures" / "swaps.png")
    save_gif(large, folder / "figures" / "style.gif", fps=12)
    return folder


@pytest.fixture
def finished(tmp_path):
    """finished(name, ...) -> a folder of `make_run`."""
    return lambda name="run", *arguments, **options: make_run(
        tmp_path / name, *arguments, **options
    )
