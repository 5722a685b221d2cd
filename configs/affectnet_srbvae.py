"""sRb-VAE on AffectNet, as in the reference paper: neutral faces are the reference.

python launch.py --config=configs/affectnet_srbvae.py         # full width, the paper's epochs
python launch.py --config=configs/affectnet_srbvae.py:cpu     # narrow, 3,000 steps

AffectNet is downloaded by hand into downloads/manual/affectnet/ of $TFDS_DATA_DIR, and neutral
faces of your own, if any, into its reference/: refvae_jax/data/builders/affectnet.py says how.
The paper's average accuracy over seven expressions is .422, from `common` .335. Neither the number
that this gives on the real images nor its time is known yet.
"""

from configs import affectnet_rbvae
from configs.common import reference


def get_config(arg=""):
    """20 epochs; forms: "", "cpu", "smoke"."""
    return reference.form(affectnet_rbvae.make("srbvae"), arg)
