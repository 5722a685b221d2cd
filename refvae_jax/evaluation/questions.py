"""The question that a score answers, in words.

question(score)   # "Can the label be read from the posterior mean of `content`? By ..."
"""

from refvae_jax.evaluation.score import Score

_READ = "Can {factor} be read from {codes}?"
_ERROR = "How far off is {factor} when it is read from {codes}?"
_SWAP = "`{latent}` of A with the other latent of B, decoded: "
_RESAMPLE = "`{latent}` of A with the other latent drawn from its prior, decoded: "
_STILL_SEEN = "does a classifier of real images still see {factor} of A?"
_STILL_NEAR = "how far is {factor}, as a regressor of real images reads it, from that of A?"

_OF_CODES = {  # By probe.
    "strong_accuracy": f"{_READ} By the best, on validation, of a network, logistic regression and "
    f"nearest neighbours.",
    "paper_accuracy": f"{_READ} By the mixture paper's classifier, which takes a few thousand very "
    f"small steps.",
    "linear_accuracy": f"{_READ} By logistic regression.",
    "balanced_accuracy": f"{_READ} By logistic regression, averaged over the classes.",
    "mae": f"{_ERROR} By linear regression: the mean absolute error.",
    "r2": "How much of the variance of {factor} does linear regression from {codes} explain?",
    "strong_mae": f"{_ERROR} By the best, on validation, of linear regression, nearest neighbours, "
    f"trees and networks: the mean absolute error.",
}
_OF_IMAGES = {  # By source and probe.
    ("swap", "accuracy"): _SWAP + _STILL_SEEN,
    ("swap", "mae"): _SWAP + _STILL_NEAR,
    (
        "swap",
        "moved",
    ): f"{_SWAP}is its `{{factor}}`, encoded again, nearer to that of B than to that of A?",
    ("swap", "pixel_change"): f"{_SWAP}how far is it from the reconstruction of A, if that of B is "
    f"at distance 1?",
    ("resample", "accuracy"): _RESAMPLE + _STILL_SEEN,
    ("resample", "mae"): _RESAMPLE + _STILL_NEAR,
    ("reconstruction", "accuracy"): "Does a classifier of real images still see {factor} in the "
    "reconstruction?",
    ("reconstruction", "mae"): "How far is {factor}, as a regressor of real images reads it, from "
    "that of the image in its reconstruction?",
    (
        "reconstruction",
        "mse",
    ): "The squared error of the reconstruction per pixel and channel, images in [0, 1].",
    ("images", "accuracy"): "Does the classifier see {factor} in real test images? The most that "
    "scores through the decoder can reach.",
    (
        "images",
        "mae",
    ): "How far off is the regressor of {factor} on real test images? The least that "
    "scores through the decoder can reach.",
}
_CODES = {
    "mean": "the posterior mean of `{latent}`",
    "sample": "one posterior sample of `{latent}`, which is all that the decoder ever sees",
}


def question(score: Score) -> str:
    """What a Score tells, in a sentence with Markdown's marks of code; "" of an unknown measure."""
    of_codes = _OF_CODES.get(score.probe) if score.source in _CODES else None
    words = of_codes or _OF_IMAGES.get((score.source, score.probe), "")
    codes = _CODES.get(score.source, "").format(latent=score.latent)
    return words.format(factor=_factor_words(score), latent=score.latent, codes=codes)


def _factor_words(score: Score) -> str:
    if score.probe == "moved":
        return score.factor
    if score.class_name:
        return f"class `{score.class_name}`"
    if score.factor == "average":
        return "the average factor"
    return "the label" if score.factor == "label" else f"`{score.factor}`"
