"""ML-VAE on CelebA, as in the mixture paper: groups are the identities.

python launch.py --config=configs/celeba_mlvae.py         # the paper's size
python launch.py --config=configs/celeba_mlvae.py:cpu     # an eighth of its width, 1,500 steps

TFDS downloads CelebA (1.4 GB) or finds it in $TFDS_DATA_DIR. Identities of the test split are never
seen in training. Identities known to be mislabelled are left out by, for example,
--config.data.exclude="(7312, 7316, 7319, 7404)".
"""

from configs import celeba_gmvae
from configs.common import groups


def get_config(arg=""):
    """k = 1.5, members of an identity in tens; forms: "", "cpu", "smoke"."""
    return groups.form(celeba_gmvae.make("mlvae"), arg)
