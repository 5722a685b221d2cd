"""A score: one measured number, what it is of, and what knowing nothing gives.

score = Score(value=0.93, probe="strong_accuracy", source="mean", latent="content", factor="label",
              better="higher", chance=0.1)
score.name   # "content/label/strong_accuracy", its key in results.json
"""

from typing import Any, NamedTuple

# Sources whose scores lie below a word of their own in results.json, whose keys never change.
_PREFIXES = {
    "swap": "swap",
    "resample": "resample",
    "reconstruction": "reconstruction",
    "images": "judge",
}


class Score(NamedTuple):
    """One number that was measured of a model.

    Attributes:
      value: the number itself.
      probe: how it was measured: "strong_accuracy", "mae", "accuracy", "moved", ...
      source: what the probe looked at: codes ("mean", "sample"), decoded images ("swap",
        "resample", "reconstruction") or real "images".
      better: "higher" or "lower", whichever speaks for the separation.
      chance: what knowing nothing scores.
      latent: the one that was read, or that decoded images kept; "" where there is none.
      factor: "label", a factor, "average" over the continuous factors, or ""; of the probe "moved"
        the latent that was exchanged.
      class_name: of the score of a single class.
      untrained: the value before training; None if unknown.
      paper: the value that the method's paper reports; None if it does not.
    """

    value: float
    probe: str
    source: str
    better: str
    chance: float
    latent: str = ""
    factor: str = ""
    class_name: str = ""
    untrained: float | None = None
    paper: float | None = None

    @property
    def name(self) -> str:
        """The key in results.json."""
        parts = [_PREFIXES.get(self.source, ""), self.latent]
        parts += [f"{self.factor}_moved"] if self.probe == "moved" else [self.factor, self.probe]
        # A class of the name "sample" must not take the key of the accuracy from a sample.
        parts.append("class sample" if self.class_name == "sample" else self.class_name)
        parts.append("sample" if self.source == "sample" else "")
        return "/".join(filter(None, parts))

    def to_json(self) -> dict[str, Any]:
        """The row of results.json: all fields that say something."""
        return {name: value for name, value in self._asdict().items() if value not in ("", None)}


def from_json(rows: dict[str, dict[str, Any]]) -> list[Score]:
    """The scores of a results.json.

    Raises:
      TypeError: a row lacks a field, as those of version 0.1 do, or has an unknown one.
    """
    return [Score(**row) for row in rows.values()]
