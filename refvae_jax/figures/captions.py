"""What the figures and animations show, in words: for the page of a report."""

from collections.abc import Collection
from typing import NamedTuple


class Caption(NamedTuple):
    """Words about a picture."""

    title: str
    text: str  # With Markdown's marks of code.


_PAIRS = {"style": "content", "target": "common"}  # {what moves: what is kept}
_CAPTIONS = {
    "swaps": Caption(
        "Swaps",
        "Test images in the first row and column, their reconstructions in the second; {kept} is "
        "fixed down a column, {moved} along a row.",
    ),
    "synthesis": Caption(
        "One image, another {moved}",
        "A row per test image: the image, its reconstruction, then its {kept} with draws of "
        "{moved} from the prior, the same in every row.",
    ),
    "interpolation": Caption(
        "Interpolation",
        "Between two unlike test images: {kept} changes from left to right, {moved} downwards.",
    ),
    "samples_crossed": Caption(
        "Crossed samples", "A drawn {kept} per column, a drawn {moved} per row."
    ),
    "samples_prior": Caption("Samples of the prior", "Decoded from N(0, I)."),
    "samples_aggregate": Caption(
        "Samples of the aggregate",
        "Decoded from a Gaussian fitted to the codes of training images.",
    ),
    "curve": Caption(
        "Learning curve", "Scores of the kept checkpoints on validation images, against epochs."
    ),
}
_ANIMATIONS = {
    "interpolation": Caption(
        "From image to image", "Loops through test images, all latents changing at once."
    ),
    "style": Caption(
        "Moving {moved}", "Test images whose {moved} moves between draws of the prior."
    ),
}
_ANIMATIONS["target"] = _ANIMATIONS["style"]
ORDER = (*(f"{name}.png" for name in _CAPTIONS), *(f"{name}.gif" for name in _ANIMATIONS))


def caption(name: str, names: Collection[str]) -> Caption:
    """The Caption of a file in `figures/`.

    Args:
      name: of the file; of an unknown one it is all that the Caption tells.
      names: of all files there: which latents the model has is read from them.
    """
    stem, _, kind = name.partition(".")
    found = (_ANIMATIONS if kind == "gif" else _CAPTIONS).get(stem, Caption(name, ""))
    moved = next((latent for latent in _PAIRS if f"{latent}.gif" in names), "")
    kept = _PAIRS.get(moved, "")
    words = {"kept": f"`{kept}`", "moved": f"`{moved}`"}
    return Caption(found.title.format(kept=kept, moved=moved), found.text.format(**words))
