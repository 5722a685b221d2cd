"""What the papers report, to be shown beside our scores.

    published_scores("reference_mnist/32x32", "rbvae")["average"]    # reference paper, Table 1
    mixture_paper_accuracy(config)                                   # {"content": .., "style": ..}

Which of the table's two rows named VAE is beta-VAE is a guess: the letter is lost in its text.
"""

from ml_collections import ConfigDict

# By data set; the first line names the columns. Errors of regressors; accuracies of a classifier.
TABLE = {
    "reference_mnist": """
              red   green blue  size  width average
    vae       .099  .104  .101  .034  .085  .085
    dipvae1   .055  .064  .063  .038  .100  .064
    dipvae2   .077  .069  .076  .035  .098  .071
    betavae   .093  .099  .094  .039  .089  .083
    svae      .094  .092  .084  .036  .104  .082
    betatcvae .098  .100  .099  .034  .084  .083
    mathieu   .116  .116  .114  .039  .104  .098
    rbvae     .065  .069  .062  .061  .095  .070
    srbvae    .057  .053  .055  .038  .095  .060""",
    "affectnet": """
              happiness sadness surprise fear disgust anger contempt average
    vae       .554      .279    .383     .357 .256    .415  .439     .383
    dipvae1   .561      .269    .401     .367 .258    .397  .463     .388
    dipvae2   .548      .245    .401     .389 .268    .391  .463     .386
    betavae   .581      .283    .373     .323 .250    .415  .467     .384
    svae      .583      .251    .389     .349 .260    .391  .469     .384
    betatcvae .563      .277    .393     .349 .256    .427  .467     .390
    mathieu   .567      .388    .312     .330 .295    .353  .512     .395
    rbvae     .536      .393    .379     .311 .320    .383  .421     .392
    srbvae    .587      .405    .387     .327 .344    .425  .483     .422""",
}
# Its text has the averages from the common latents.
COMMON = {
    "reference_mnist": "average\nrbvae .195\nsrbvae .189",
    "affectnet": "average\nrbvae .349\nsrbvae .335",
}


def published_scores(dataset: str, method: str, *, common: bool = False) -> dict[str, float]:
    """{heading: score} of a method, {} where the paper has none.

    Args:
      dataset: its name in results.json; the part before a "/" counts.
      method: a key of `methods.METHODS`.
      common: what a regressor or classifier sees in `common`, not in `target` or `z`.
    """
    text = (COMMON if common else TABLE).get(dataset.split("/")[0], "none")
    headings, *lines = (line.split() for line in text.strip().splitlines())
    rows = {name: dict(zip(headings, values, strict=True)) for name, *values in lines}
    return {heading: float(value) for heading, value in rows.get(method, {}).items()}


# Accuracies of the mixture paper's classifier, by (method, data set).
MIXTURE_PAPER = {
    ("gmvae", "mnist"): {"content": 0.992, "style": 0.139},
    ("mlvae", "mnist"): {"content": 0.893, "style": 0.166},
}


def mixture_paper_accuracy(config: ConfigDict) -> dict[str, float]:
    """{latent: accuracy of the label} of the mixture paper; {} where it reports none.

    Args:
      config: of the run; of another share of known groups or another k the paper has no number.
    """
    as_published = config.data.grouped_fraction == 1 and config.method.k == 2
    known = MIXTURE_PAPER.get((config.method.name, config.data.name), {})
    return known if as_published else {}
