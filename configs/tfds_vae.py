"""VAE on other TFDS sets, named behind the colon.

python launch.py --config=configs/tfds_vae.py:dsprites
python launch.py --config=configs/tfds_vae.py:dsprites-cpu   # narrow, 3,000 steps

Sets: dsprites, shapes3d, smallnorb, lfw, celeb_a, cars3d, fashion_mnist, emnist/balanced, mnist;
each is read as refvae_jax/data/readers/presets.py says. For another method add
--config.method.name=betatcvae; the constants of dipvae2 and factorvae are in
configs/reference_mnist_dipvae2.py and configs/reference_mnist_factorvae.py.
"""

from configs.common import reference


def get_config(arg=""):
    """60,000 steps of 36 images; forms: SET, SET-cpu, SET-smoke, and "cpu", "smoke" of dsprites."""
    dataset, _, form = arg.partition("-")
    if dataset in ("", "cpu", "smoke"):
        dataset, form = "dsprites", dataset
    config = reference.make("vae", dataset, num_train_steps=60_000)
    config.data.reference_split = ""
    return reference.form(config, form)
