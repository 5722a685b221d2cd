"""GM-VAE on other TFDS sets, named behind the colon.

python launch.py --config=configs/tfds_gmvae.py:lfw
python launch.py --config=configs/tfds_gmvae.py:lfw-cpu      # narrow, 1,500 steps

Sets: lfw, dsprites, shapes3d, smallnorb, fashion_mnist, emnist/balanced, mnist, celeb_a, cars3d;
each is read as refvae_jax/data/readers/presets.py says.
"""

from configs.common import groups

STEPS = 20_000


def get_config(arg=""):
    """20,000 steps of 256 images; forms: SET, SET-cpu, SET-smoke, and "smoke" of fashion_mnist."""
    dataset, _, form = arg.partition("-")
    if dataset in ("", "cpu", "smoke"):
        dataset, form = "fashion_mnist", dataset
    config = groups.make("gmvae", dataset, num_train_steps=STEPS)
    config.data.group_chunk = 10
    return groups.form(config, form)
