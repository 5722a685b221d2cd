"""The model card of an exported model, in Markdown, from its checkpoint's record and its scores.

text = card(description)
"""

import json
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict

from refvae_jax import config_rules
from refvae_jax.command_line import training_command
from refvae_jax.errors import counted
from refvae_jax.evaluation.overview import is_detail
from refvae_jax.evaluation.score import Score, from_json
from refvae_jax.reports.layouts import TITLES

MEANINGS = {
    "content": "what the images of a group have in common, such as the digit or the person",
    "style": "what differs between the images of a group",
    "common": "what varies in the unlabelled images and in the reference images",
    "target": "what varies in the unlabelled images only, and is constant in the references",
    "z": "all that varies: a single latent, which separates nothing by itself",
}

LIMITS = """\
## Limits

- The model knows images like those of its training, at {size} x {size} pixels. Of others its codes
  and reconstructions mean little.
- The scores are of one run with one seed, on the test images above. No score says that a latent
  holds nothing else: compare each with its chance and with the untrained model.
- Do not decide about people by its codes.
"""

USE = """\
## Use

`images` are uint8 {shape}, any N. An image is encoded by itself: groups and references only
guided the training. With the package `refvae_jax`, its `load` and its commands take this folder in
the place of a run:

```python
model = refvae_jax.load("this folder")
latents = model.encode(images)  # {{latent: Gaussian of [N, D]}}
model.decode({{name: q.mean for name, q in latents.items()}})  # uint8 {shape}
```

## Without the package

`read.py` needs jax and numpy alone, on a CPU, GPU or TPU:

```python
import read

latents = read.encode(images)  # {{latent: {{"mean": [N, D], "logvar": [N, D]}}}}
read.decode({{name: q["mean"] for name, q in latents.items()}})  # uint8 {shape}
```

`encode.jax` and `decode.jax` are StableHLO as `jax.export` of jax {jax} writes it. JAX promises
that its versions of the next half year read them; the parameters are plain NumPy. `flatbuffers/`,
which `jax.export` reads files with, is by Google (Apache-2.0).
"""


def card(description: dict[str, Any]) -> str:
    """The model card.

    Args:
      description: content of model.json, see `packed.py`.
    """
    config = config_rules.with_defaults(ConfigDict(description["record"]["config"]))
    title = f"{TITLES.get(config.method.name, config.method.name)} on {config.data.name}"
    quoted = json.dumps(description["licence"] or "unknown")  # As YAML takes it, whatever is in it.
    header = f"---\nlicense: {quoted}\nlibrary_name: jax\n---\n\n# {title}\n"
    height, width, channels = description["record"]["image_shape"]
    parts = [
        header,
        _latents(description["latents"]),
        _data(description, config),
        _scores(description["results"], description["step"]),
        LIMITS.format(size=height),
        _training(description, config),
        USE.format(shape=f"[N, {height}, {width}, {channels}]", jax=description["versions"]["jax"]),
    ]
    return "\n".join(parts)


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [list(header), *(list(map(str, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latents(sizes: dict[str, int]) -> str:
    rows = [(f"`{name}`", size, MEANINGS[name]) for name, size in sizes.items()]
    return "## Latents\n\n" + _table(("latent", "numbers", "meaning"), rows)


def _data(description: dict[str, Any], config: ConfigDict) -> str:
    record, results = description["record"], description["results"]
    height, width, channels = record["image_shape"]
    kinds = ("train", "reference", "validation", "test")
    splits = {kind: config.data[f"{kind}_split"] for kind in kinds}
    if results is not None:  # Other images may have been scored than the run had meant to.
        splits["test"] = results["config"]["data"]["test_split"]
    rows = [
        ("data set", f"{config.data.name} {config.data.dir}".strip()),
        ("images of the training", f"{record['num_train_images']:,}"),
        ("form", f"{height} x {width} pixels, {counted(channels, 'channel')}"),
        *((f"{kind} split", f"`{split}`") for kind, split in splits.items() if split),
        ("licence of the model", description["licence"] or "not stated: ask whoever passes it on"),
        ("licence of the data", "not known to this program: see the data set"),
    ]
    return "## Data and licence\n\n" + _table(("", ""), rows)


def _scores(results: dict[str, Any] | None, step: int) -> str:
    if results is None:
        return "## Scores\n\nThis model was not scored.\n"
    scores = [score for score in from_json(results["scores"]) if not is_detail(score)]
    header = ("score", "value", "chance", "untrained", "better")
    lines = [(f"`{score.name}`", *_numbers(score), score.better) for score in scores]
    of = f"Of the test split, after {results['steps']:,} steps."
    if results["steps"] != step:
        of += f" The parameters here are those after {step:,} steps."
    return f"## Scores\n\n{of}\n\n{_table(header, lines)}"


def _numbers(score: Score) -> list[str]:
    values = (score.value, score.chance, score.untrained)
    return ["" if value is None else f"{value:.3f}" for value in values]


def _training(description: dict[str, Any], config: ConfigDict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in description["versions"].items())
    return (
        f"## Training\n\n```sh\n{training_command(config)}\n```\n\n"
        f"These are the parameters after {description['step']:,} of {config.num_train_steps:,} "
        f"steps, exported with {versions}.\n"
    )
