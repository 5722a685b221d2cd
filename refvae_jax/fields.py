"""Prints every field of a config: its default and what it means.

python -m refvae_jax fields
python -m refvae_jax fields network optimizer
"""

import argparse
from collections.abc import Collection

from refvae_jax import config_rules
from refvae_jax.errors import UserError, did_you_mean, exit_status


def section_of(name: str) -> str:
    """`network` of `network.encoder_widths`; "" of a field of no section."""
    return name.rpartition(".")[0]


def table(sections: Collection[str] = ()) -> str:
    """The fields as aligned lines, a paragraph per section; of all sections if none is named.

    Raises:
      UserError: there is no such section.
    """
    known = list(dict.fromkeys(section_of(field.name) for field in config_rules.FIELDS))
    for name in sections:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(
                f"The config has no section {name!r}, only {', '.join(known[1:])}.{hint}"
            )
    shown = [f for f in config_rules.FIELDS if not sections or section_of(f.name) in sections]
    widths = [max(len(word) for word in words) for words in zip(*map(_words, shown), strict=True)]
    lines, section = [], section_of(shown[0].name)
    for field in shown:
        if section_of(field.name) != section:
            section = section_of(field.name)
            lines.append("")
        name, default = _words(field)
        lines.append(f"{name:<{widths[0]}}  {default:<{widths[1]}}  {field.meaning}")
    return "\n".join(lines)


def _words(field: config_rules.Field) -> tuple[str, str]:
    return field.name, repr(field.default)


def main(argv: list[str]) -> int:
    """Prints the fields; returns the exit status."""
    parser = argparse.ArgumentParser("refvae fields", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", metavar="SECTION", nargs="*", help="default: all")
    sections = parser.parse_args(argv).sections
    return exit_status(lambda: print(table(sections)))
