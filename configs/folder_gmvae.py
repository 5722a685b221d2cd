"""GM-VAE on your own images: one subfolder per group.

python launch.py --config=configs/folder_gmvae.py --config.data.dir=DIR
python launch.py --config=configs/folder_gmvae.py:cpu --config.data.dir=DIR     # narrow
python launch.py --config=configs/folder_gmvae.py:unseen --config.data.dir=DIR  # tests new groups

DIR/<group>/** or DIR/{train,validation,test}/<group>/**, any sizes; a missing validation or test
split is taken from train.
"""

from configs.common import groups

STEPS = 20_000


def get_config(arg=""):
    """Chunks of ten of a group; forms: "", cpu, smoke, unseen, unseen-cpu, unseen-smoke."""
    config = groups.make("gmvae", "folder", num_train_steps=STEPS)
    config.data.group_chunk = 10
    forms = {"unseen": unseen}
    for name, shrink in (("cpu", groups.cpu), ("smoke", groups.smoke)):
        forms[f"unseen-{name}"] = lambda config, shrink=shrink: (unseen(config), shrink(config))
    return groups.form(config, arg, **forms)


def unseen(config):
    """Whole groups are held out; probes learn from half of the images of each test group."""
    config.data.split_by = "groups"
    config.data.probe_train_split = "test@members[:50%]"
    config.data.test_split = "test@members[50%:]"
