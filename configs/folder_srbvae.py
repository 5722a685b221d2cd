"""sRb-VAE on your own images: reference images and unlabelled ones.

python launch.py --config=configs/folder_srbvae.py --config.data.dir=DIR
python launch.py --config=configs/folder_srbvae.py:cpu --config.data.dir=DIR     # narrow
python launch.py --config=configs/folder_srbvae.py:cpu32 --config.data.dir=DIR   # and at 32x32
python launch.py --config=configs/folder_srbvae.py --config.data.dir=DIR --config.method.name=rbvae

DIR/reference/** and DIR/unlabelled/**, whose subfolders, if any, are labels for scoring; or class
folders, DIR/<class>/** or DIR/{train,validation,test}/<class>/**, and
--config.data.reference_class=CLASS.
"""

from configs.common import reference


def get_config(arg=""):
    """64x64, 60,000 steps of 36 images of each set; forms: "", "cpu", "cpu32", "smoke"."""
    config = reference.make("srbvae", "folder", num_train_steps=60_000)
    return reference.form(config, arg, cpu32=reference.cpu32)
