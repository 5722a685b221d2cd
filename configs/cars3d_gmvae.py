"""GM-VAE on Cars3D, as in the mixture paper: groups are the cars.

python launch.py --config=configs/cars3d_gmvae.py         # the paper's size
python launch.py --config=configs/cars3d_gmvae.py:cpu     # an eighth of its width, 1,500 steps

Of the paper's 160 training cars 8 are for validation here; the 23 test cars are never seen in
training.
The archive nips2015-analogy-data.tar.gz is downloaded, or taken from downloads/manual/ in
$TFDS_DATA_DIR.
"""

from configs.common import groups

TRAIN_IMAGES = 152 * 96


def get_config(arg=""):
    """600 epochs, learning rate divided by 5 after 200 and 400; forms: "", "cpu", "smoke"."""
    return groups.form(make("gmvae"), arg)


def make(method):
    """The config of a method, with the paper's constants."""
    config = groups.make(
        method,
        "cars3d",
        num_train_steps=groups.steps(TRAIN_IMAGES, epochs=600),
        latent_size=16,
        groups_per_batch=124,  # Of 152, in batches of 256 in any order.
    )
    config.method.k = 4.0
    config.optimizer.decay_at = (1 / 3, 2 / 3)
    return config
