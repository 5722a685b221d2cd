"""GM-VAE on CelebA, as in the mixture paper: groups are the identities.

python launch.py --config=configs/celeba_gmvae.py         # the paper's size
python launch.py --config=configs/celeba_gmvae.py:cpu     # an eighth of its width, 1,500 steps

TFDS downloads CelebA (1.4 GB) or finds it in $TFDS_DATA_DIR. Identities of the test split are never
seen in training. Leave out identities known to be mislabelled by, for example,
--config.data.exclude="(7312, 7316, 7319, 7404)".
"""

from configs.common import groups

TRAIN_IMAGES = 162_770


def get_config(arg=""):
    """k = 1.5, chunks of ten of an identity; forms: "", "cpu", "smoke"."""
    return groups.form(make("gmvae"), arg)


def make(method):
    """The config of a method, with the paper's constants."""
    config = groups.make(method, "celeb_a", num_train_steps=groups.steps(TRAIN_IMAGES, epochs=200))
    config.method.k = 1.5
    config.data.group_chunk = 10
    return config
