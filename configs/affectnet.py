"""AffectNet for every method of the reference paper's Table 1; no command."""

from configs import reference
from refvae_jax.published import TABLE

UNLABELLED_IMAGES = 150_000
METHODS = tuple(line.split()[0] for line in TABLE["affectnet"].strip().splitlines()[1:])


def make(name, arg):
    """The config of a method at the paper's scale, 30 epochs; `arg` names another, a form or both.

    Args:
      name: of the method.
      arg: "", "METHOD", "FORM" or "METHOD-FORM".
    """
    method, _, form = arg.partition("-")
    if method not in METHODS:
        method, form = name, arg
    config = reference.make(method, "affectnet", num_train_steps=-(-30 * UNLABELLED_IMAGES // 36))
    return reference.form(config, form)
