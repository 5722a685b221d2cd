"""sRb-VAE on AffectNet, as in the reference paper: the reference are neutral faces.

python launch.py --config=configs/affectnet_srbvae.py           # the paper's size
python launch.py --config=configs/affectnet_srbvae.py:cpu       # narrow, 3,000 steps
python launch.py --config=configs/affectnet_srbvae.py:dipvae1   # a baseline on the same data

The licence wants AffectNet to be asked for: put it into downloads/manual/affectnet/ in
$TFDS_DATA_DIR, see refvae_jax/data/builders/affectnet.py.
"""

from configs import affectnet


def get_config(arg=""):
    """Forms: "", "cpu", "smoke", and each method of the paper's Table 1, also as "vae-cpu"."""
    return affectnet.make("srbvae", arg)
