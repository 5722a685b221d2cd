"""The papers' constants in the configs' full forms, and the tuned ones in the narrow forms."""

import importlib

import pytest

from refvae_jax import config as configs

REFERENCE = {
    "batch_size": 36,
    "num_train_steps": -(-30 * 58_000 // 36),
    "method.reconstruction_gradient": "paper",
    "data.train_split": "unlabelled",
    "data.reference_split": "reference",
    "data.validation_split": "validation",
    "data.probe_train_split": "probe_fit",
    "data.test_split": "probe_test",
}
MIXTURE = {
    "batch_size": 256,
    "optimizer.learning_rate": 1e-3,
    "optimizer.decay_factor": 0.2,
    "optimizer.decay_at": [0.25, 0.5],
}
CELEBA = {
    "method.k": 1.5,
    "data.name": "celeb_a",
    "data.label": "identity/Identity_No",
    "data.crop": 140,
    "data.resolution": 64,
    "data.split_by": "groups",
    "latents.content": 32,
    "latents.style": 32,
    "data.group_chunk": 10,
    "num_train_steps": -(-200 * 162_770 // 256),
    "network.encoder_widths": [64, 128, 256, 512],
}
CARS = {
    "method.k": 4.0,
    "data.resolution": 64,
    "data.split_by": "groups",
    "latents.content": 16,
    "optimizer.decay_at": [1 / 3, 2 / 3],
    "num_train_steps": -(-600 * 152 * 96 // 256),
}
MNIST = {
    "method.k": 2.0,
    "latents.content": 8,
    "latents.style": 8,
    "num_train_steps": -(-200 * 50_000 // 256),
    "data.train_split": "train[:50000]",
    "data.validation_split": "train[50000:]",
    "network.encoder_widths": [32, 64, 128, 256],
}
SEMI = {
    "batch_size": 512,
    "data.grouped_fraction": 0.1,
    "num_train_steps": -(-200 * 50_000 // 512),
}
BY_METHOD = {
    "rbvae": {},
    "srbvae": {},
    "svae": {},
    "vae": {},
    "betavae": {"method.beta": 4.0},
    "betatcvae": {"method.beta": 4.0},
    "dipvae1": {"method.w_off_diagonal": 10.0, "method.w_diagonal": 100.0},
    "dipvae2": {"method.w_off_diagonal": 10.0, "method.w_diagonal": 10.0},
    "factorvae": {"method.gamma": 10.0, "discriminator_optimizer.b2": 0.9},
    "mathieu": {},
}
WANTED = {
    "mnist_gmvae": MIXTURE | MNIST | {"method.name": "gmvae"},
    "mnist_mlvae": MIXTURE | MNIST | {"method.name": "mlvae"},
    "mnist_gmvae_semi": MIXTURE | MNIST | SEMI,
    "celeba_gmvae": MIXTURE | CELEBA | {"method.name": "gmvae"},
    "celeba_mlvae": MIXTURE | CELEBA | {"method.name": "mlvae"},
    "cars3d_gmvae": MIXTURE | CARS | {"method.name": "gmvae"},
    "cars3d_mlvae": MIXTURE | CARS | {"method.name": "mlvae"},
}
for name, own in BY_METHOD.items():
    WANTED[f"reference_mnist_{name}"] = REFERENCE | {"method.name": name} | own
TUNED = {
    "rbvae": ("scale", 0.3),
    "srbvae": ("w_image", 3_000.0),
    "betavae": ("beta", 10.0),
    "dipvae1": ("w_diagonal", 30.0),
    "dipvae2": ("w_diagonal", 3.0),
}


def of(name, form=""):
    return configs.flatten(importlib.import_module(f"configs.{name}").get_config(form))


@pytest.mark.parametrize("name", WANTED)
def test_the_full_form_has_the_papers_constants(name):
    found = of(name)
    assert {field: found[field] for field in WANTED[name]} == WANTED[name]


@pytest.mark.parametrize(("method", "tuned"), TUNED.items())
def test_tuned_constants_are_in_the_narrow_forms_only(method, tuned):
    field, value = tuned
    got = [
        of(f"reference_mnist_{method}", form)[f"method.{field}"] for form in ("", "cpu", "cpu16")
    ]
    assert got[0] != value and got[1:] == [value, value]
