"""ML-VAE on Cars3D, as in the mixture paper: groups are the cars.

python launch.py --config=configs/cars3d_mlvae.py         # the paper's size
python launch.py --config=configs/cars3d_mlvae.py:cpu     # an eighth of its width, 1,500 steps

Of the paper's 160 training cars 8 are for validation here; the 23 test cars are never seen in
training.
The archive nips2015-analogy-data.tar.gz is downloaded, or taken from downloads/manual/ in
$TFDS_DATA_DIR.
"""

from configs import cars3d_gmvae
from configs.common import groups


def get_config(arg=""):
    """600 epochs, learning rate divided by 5 after 200 and 400; forms: "", "cpu", "smoke"."""
    return groups.form(cars3d_gmvae.make("mlvae"), arg)
