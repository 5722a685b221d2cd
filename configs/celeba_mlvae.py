"""ML-VAE on CelebA, as in the mixture paper: groups are the identities.

python launch.py --config=configs/celeba_mlvae.py         # the paper's size
python launch.py --config=configs/celeba_mlvae.py:cpu     # an eighth of its width, 1,500 steps

TFDS downloads CelebA (1.4 GB) or finds it in $TFDS_DATA_DIR. Identities of the test split are never
seen in training. Leave out identities known to be mislabelled by, for example,
--config.data.exclude="(7312, 7316, 7319, 7404)".
"""

from configs import celeba_gmvae
from configs.common import groups


def get_config(arg=""):
    """Chunks of ten of an identity; forms: "", "cpu", "smoke"."""
    return groups.form(celeba_gmvae.make("mlvae"), arg)
