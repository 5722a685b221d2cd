"""Every method of the reference paper's Table 1, and FactorVAE, on reference MNIST, at CPU scale.

python -m refvae_jax sweep configs/sweeps/reference_mnist_cpu.py

Two seeds, which are too few to rank the methods. The first seed of all is done before the second
begins, and the methods that carry the paper's claim come first. The learning rate is constant, so a
run continues where it ended when STEPS grows.
"""

METHODS = (
    "srbvae",
    "rbvae",
    "vae",
    "dipvae1",
    "betavae",
    "betatcvae",
    "dipvae2",
    "factorvae",
    "svae",
    "mathieu",
)
SEEDS = (0, 1)
STEPS = 10_000


def get_runs():
    """[(config, name, {field: value})]: form `cpu` of each method's config, all of STEPS steps."""
    return [
        (
            f"configs/reference_mnist_{method}.py:cpu",
            f"{method}-s{seed}",
            {"seed": seed, "num_train_steps": STEPS},
        )
        for seed in SEEDS
        for method in METHODS
    ]
