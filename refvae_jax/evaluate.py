"""A checkpoint to results.json and to pictures.

Three kinds of scores (names as in results.json):

    <latent>/label/<probe>[/sample]   can the label be read from the posterior mean (or a sample)?
    swap/<kept latent>/...            seen through the decoder, judged on pixels or re-encoded
    reconstruction/...                how much of the image the codes keep

The test part is scored once, with the checkpoint and the probes chosen on validation.
"""

import json
import statistics
from pathlib import Path

import numpy as np

from refvae_jax import checkpoint, figures
from refvae_jax.data import cache
from refvae_jax.errors import UserError
from refvae_jax.inference import Model, build_method, posterior_sample
from refvae_jax.logs import say, write_json
from refvae_jax.metrics import swaps
from refvae_jax.metrics.judge import train_judge
from refvae_jax.metrics.probes import Codes, chance, paper_accuracy, strong_accuracy
from refvae_jax.train import initial_variables

SPLITS = ("train", "validation", "test")

# What the papers report for (method, data set), in the words of results.json.
PAPER_SCORES = {
    ("gmvae", "mnist"): {
        "content/label/paper_accuracy": 0.992,
        "style/label/paper_accuracy": 0.139,
    },
    ("mlvae", "mnist"): {
        "content/label/paper_accuracy": 0.893,
        "style/label/paper_accuracy": 0.166,
    },
}


def open_splits(config):
    """{"train", "validation", "test": ImageSet}."""
    return {name: cache.open_split(config.data, name) for name in SPLITS}


def code_scores(model, splits, seed):
    """How well each latent tells the label, {name: accuracy}, by every probe, mean and sample."""
    encoded = {name: model.encode(images.image) for name, images in splits.items()}
    options = {"num_classes": splits["test"].num_classes, "seed": seed}

    def read(latent, split, suffix):
        q = encoded[split][latent]
        codes = posterior_sample(q, seed, f"{latent} {split}") if suffix else q.mean
        return Codes(codes, splits[split].label)

    scores = {}
    for latent in model.latent_names:
        for suffix in ("", "/sample"):
            fit, validation, test = (read(latent, split, suffix) for split in SPLITS)
            name = f"{latent}/label/"
            scores[f"{name}paper_accuracy{suffix}"] = paper_accuracy(fit, test, **options)
            scores[f"{name}strong_accuracy{suffix}"] = strong_accuracy(
                fit, validation, test, **options
            )
    return scores


def decoder_scores(model, test, judge, seed):
    """What the decoder makes of exchanged latents, {name: value}.

    swap/content/label/accuracy: content of A with the style of B is still A's label to the judge.
    swap/style/label/accuracy: style of A with the content of B is still A's label: leaked content.
    swap/content/style_moved: re-encoded, such a swap's style is nearer to B's than to A's.
    swap/content/pixel_change: how far it is from A's reconstruction, B's reconstruction being 1.
    """
    images, other = test.image, swaps.partner(len(test.image), seed)
    means = model.means(images)
    recon = model.decode(means)
    swapped = model.decode(means | {"style": means["style"][other]})
    moved, judged = model.means(swapped)["style"], judge(swapped)
    error = np.square(recon.astype(np.float32) / 255 - images / np.float32(255))
    return {
        "swap/content/label/accuracy": float(np.mean(judged == test.label)),
        # The same pictures, seen from B: its style was kept and its content replaced.
        "swap/style/label/accuracy": float(np.mean(judged == test.label[other])),
        "swap/content/style_moved": swaps.moved_fraction(
            moved, means["style"], means["style"][other]
        ),
        "swap/content/pixel_change": swaps.pixel_change(swapped, recon, recon[other]),
        "reconstruction/label/accuracy": float(np.mean(judge(recon) == test.label)),
        "reconstruction/mse": float(error.mean()),
    }


def all_scores(model, splits, judge, seed):
    """`code_scores` and `decoder_scores` of a model."""
    codes = code_scores(model, splits, seed)
    return codes | decoder_scores(model, splits["test"], judge, seed)


def references(splits, judge):
    """What knowing nothing scores, {prefix of a name: value}, and the judge on real images."""
    train, test = splits["train"], splits["test"]
    mean_image = train.image.mean(axis=0, dtype=np.float64) / 255
    error = np.mean((test.image / 255 - mean_image) ** 2)
    majority = chance(train.label, test.label)
    return {
        "judge": float(np.mean(judge(test.image) == test.label)),
        "label": majority,
        "reconstruction/mse": float(error),
        "swap/content/style_moved": 0.5,
        "swap/content/pixel_change": 0.0,
    }


def _lower_is_better(name):
    return name == "reconstruction/mse" or name.startswith(("style/", "swap/style/"))


def assemble(scores, untrained, known, paper):
    """The `scores` of results.json: value, chance, better, and untrained and paper where known."""
    table = {}
    for name, value in scores.items():
        table[name] = {
            "value": value,
            "chance": known.get(name, known["label"]),
            "better": "lower" if _lower_is_better(name) else "higher",
        }
        for column, values in (("untrained", untrained), ("paper", paper)):
            if name in values:
                table[name][column] = values[name]
    return table


def format_table(scores):
    """The scores as lines of text, one a score, beside chance, an untrained model and the paper."""
    columns = ("value", "chance", "untrained", "paper")
    width = max(map(len, scores))
    lines = [f"{'score':<{width}}" + "".join(f"{c:>11}" for c in columns) + "  better"]
    for name, row in scores.items():
        cells = "".join(f"{row[c]:>11.4f}" if c in row else f"{'':>11}" for c in columns)
        lines.append(f"{name:<{width}}{cells}  {row['better']}")
    return "\n".join(lines)


def make_judge(splits, seed):
    """The classifier of real images that judges decoded ones."""
    train = splits["train"]
    return train_judge(train.image, train.label, num_classes=train.num_classes, seed=seed)


def paper_scores(config):
    """What the paper reports for this setting, {} where it does not."""
    as_published = config.data.grouped_fraction == 1 and config.method.k == 2
    known = PAPER_SCORES.get((config.method.name, config.data.name), {})
    return known if as_published else {}


def evaluate(config, workdir, step="best"):
    """Scores a checkpoint and its untrained beginning; writes results.json and prints the table.

    Args:
      config: of the run; says where the data are.
      workdir: the run's folder.
      step: of the checkpoint, see `checkpoint.load`.

    Returns:
      The contents of results.json.

    Raises:
      UserError: no checkpoint, or a test split too small to exchange anything.
    """
    workdir = Path(workdir)
    variables, record, step = checkpoint.load(workdir, step)
    method, splits = build_method(record), open_splits(config)
    if len(splits["test"].label) < 2:
        raise UserError("The test split has a single image: --config.data.test_split needs two.")
    say(f"evaluating checkpoint {step}: probes, a judge, swaps")
    judge = make_judge(splits, config.seed)
    model = Model(method, variables, record["image_shape"])
    beginning = model.with_variables(initial_variables(method, config.seed))
    known = references(splits, judge)
    scores = assemble(
        all_scores(model, splits, judge, config.seed),
        all_scores(beginning, splits, judge, config.seed),
        known,
        paper_scores(config),
    )
    scores["judge/label/accuracy"] = {
        "value": known["judge"],
        "chance": known["label"],
        "better": "higher",
    }
    results = {
        "method": config.method.name,
        "dataset": config.data.name,
        "seed": config.seed,
        "steps": step,
        "images_per_second": images_per_second(workdir),
        "scores": scores,
    }
    write_json(results, workdir / "results.json")
    say(format_table(scores))
    return results


def images_per_second(workdir):
    """The median speed of training, from timing.jsonl; None where nothing was logged yet."""
    path = Path(workdir) / "timing.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    speeds = [json.loads(line)["images_per_second"] for line in lines]
    return statistics.median(speeds) if speeds else None


def one_of_each(labels):
    """An order of the images in which neighbours differ in label: first of each, second of each."""
    seen, rank = {}, np.empty(len(labels), int)
    for index, label in enumerate(labels.tolist()):
        rank[index] = seen[label] = seen.get(label, -1) + 1
    return np.lexsort((labels, rank))


def draw(config, workdir, step="best", num_codes=10_000):
    """Draws Figures 1 and 5 of the mixture paper and an animation into `figures/`.

    Args:
      config: of the run; says where the data are.
      workdir: the run's folder.
      step: of the checkpoint, see `checkpoint.load`.
      num_codes: training images, at most, whose codes the aggregate is fitted to.
    """
    workdir = Path(workdir)
    variables, record, _ = checkpoint.load(workdir, step)
    model = Model(build_method(record), variables, record["image_shape"])
    train, test = (cache.open_split(config.data, name) for name in ("train", "test"))
    codes = {
        name: posterior_sample(q, config.seed, name)
        for name, q in model.encode(train.image[:num_codes]).items()
    }
    images = test.image[one_of_each(test.label)[:100]]
    paths = figures.draw_group_figures(model, images, codes, workdir / "figures", seed=config.seed)
    say("\n".join(f"wrote {path}" for path in paths))
