"""sRb-VAE on AffectNet, as in the reference paper: neutral faces are the reference.

python launch.py --config=configs/affectnet_srbvae.py         # full width, the paper's epochs
python launch.py --config=configs/affectnet_srbvae.py:cpu     # narrow, 3,000 steps

Download AffectNet by hand into downloads/manual/affectnet/ of $TFDS_DATA_DIR, and put your own
neutral faces, if any, into its reference/: see refvae_jax/data/builders/affectnet.py. The paper's
average accuracy over seven expressions is .422, from `common` .335. Our score and time on the real
images are not known yet.
"""

from configs import affectnet_rbvae
from configs.common import reference


def get_config(arg=""):
    """20 epochs; forms: "", "cpu", "smoke"."""
    return reference.form(affectnet_rbvae.make("srbvae"), arg)
