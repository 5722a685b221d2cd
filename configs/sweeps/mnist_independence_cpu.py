"""GM-VAE on MNIST without and with the independence term, five seeds each, at CPU scale.

python -m refvae_jax sweep configs/sweeps/mnist_independence_cpu.py

A seed is done with both before the next begins, so that the pairs so far can always be compared.
"""

METHODS = ("gmvae", "gmvae_independent")
SEEDS = range(5)


def get_runs():
    """[(config, name, {field: value})]: form `cpu` of both configs, scored on the test digits."""
    return [
        (f"configs/mnist_{method}.py:cpu", f"{method}-s{seed}", {"seed": seed})
        for seed in SEEDS
        for method in METHODS
    ]
