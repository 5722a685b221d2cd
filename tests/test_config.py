"""What a config may hold, and the words for what it may not."""

import re

import jax
import jax.numpy as jnp
import pytest

from configs import default, quickstart, quickstart_reference
from refvae_jax import command_line, config_rules
from refvae_jax import config as configs
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from tests.small_methods import CPU


def test_an_independence_term_that_the_method_does_not_have_is_refused():
    config = quickstart_reference.get_config()
    config.method.w_independence = 1.0
    config_rules.check(config)
    config.method.independence_batch = config.batch_size - 1
    with pytest.raises(UserError, match=r"fewer than the batch has: .*independence_batch=36 or"):
        config_rules.check(config)
    config.method.independence_batch = 0
    config.method.name = "vae"
    with pytest.raises(UserError, match=r"vae has no independence term.*one of gmvae, mlvae, rb"):
        config_rules.check(config)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("method.name", "gmvea", "Did you mean 'gmvae'"),
        ("parallel.map", "vmap", "one of jit, pmap. Did you mean 'pmap'"),
        ("optimizer.schedule", "cosin", "Did you mean 'cosine'"),
        ("dtype", "float16", "one of float32, bfloat16"),
        ("batch_size", 0, "a number greater than 0"),
        ("num_train_steps", -1, "a number greater than 0"),
        ("data.grouped_fraction", 1.5, "a number from 0 to 1"),
        ("data.value_range", (5, 1), "the lower one first"),
        ("data.value_range", ("0.1", "99%"), "such as (0, 4095) or ('0.1%', '99.9%')"),
        ("data.grouped_fraction", -0.1, "a number from 0 to 1"),
        ("optimizer.decay_at", (0.5, 2.0), "a number from 0 to 1"),
        ("optimizer.decay_at", ("a",), "a number from 0 to 1"),
        ("optimizer.b1", 1.0, "from 0 to below 1"),
        ("optimizer.accumulate_steps", 0, "a number greater than 0"),
        ("steps_per_call", 11, "but config.log_every_steps is 10"),
        ("optimizer.warmup_steps", 21, "but the run has 20 steps"),
        ("optimizer.learning_rate", float("inf"), "a number greater than 0"),
        ("seed", -1, "from 0 to below 2**32"),
        ("keep_every_steps", -3, "a number from 0 on"),
        ("network.encoder_widths", (8, 0), "whole numbers greater than 0"),
        ("method.delta", 0.0, "a number greater than 0"),
        ("method.w_independence", -1.0, "a number from 0 on"),
        ("method.independence_from", 1.0, "from 0 to below 1"),
    ],
)
def test_check_refuses_in_one_sentence(config, field, value, words):
    config_rules.check(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=field.replace(".", r"\.")) as error:
        config_rules.check(config)
    assert words in str(error.value)


def test_a_step_to_trace_is_one_of_the_run(config):
    config.profile.first_step = config.num_train_steps + 1
    config_rules.check(config)  # None is traced.
    config.profile.num_steps = 1
    with pytest.raises(UserError, match=r"profile\.first_step is 21, but the run has 20 steps"):
        config_rules.check(config)


@pytest.mark.parametrize("resolution", [4, 28, 48, 96, 128])
@pytest.mark.parametrize("method", ["gmvae", "srbvae", "vae"])
def test_advice_on_the_resolution_leads_to_networks(method, resolution):
    config = quickstart_reference.get_config("smoke")
    flags = {"method.name": method, "data.resolution": resolution}
    for _ in range(2):
        config.update_from_flattened_dict(flags)
        config_rules.follow_resolution(config, flags)
        try:
            config_rules.check(config)
            break
        except UserError as error:
            advised = re.search(r"--config\.data\.resolution=(\d+)", str(error))
            flags["data.resolution"] = int(advised[1])
    shape = (flags["data.resolution"],) * 2 + (3,)
    net = METHODS[method](config, DataInfo(shape, 100, CPU))
    image = jax.ShapeDtypeStruct((2, *shape), jnp.float32)

    def autoencode(image):
        variables = net.init(jax.random.key(0))
        return net.decode(variables, {k: q.mean for k, q in net.encode(variables, image).items()})

    assert jax.eval_shape(autoencode, image).shape == image.shape


def test_widths_that_were_set_stay():
    def widths_after(make, flags):
        config = make()
        config.update_from_flattened_dict(flags)
        config_rules.follow_resolution(config, flags)
        return config.network.encoder_widths, config.network.decoder_widths

    large, own = {"data.resolution": 64}, {"network.decoder_widths": (7, 7)}
    encoder = (8, 16, 32, 64)
    assert widths_after(quickstart.get_config, large) == (encoder, (32, 16, 8))
    assert widths_after(quickstart.get_config, large | own) == (encoder, (7, 7))
    assert widths_after(quickstart.get_config, {"seed": 3}) == (encoder, (32, 16))

    def of_file(**network):
        config = default.get_config()
        config.data.resolution = 64
        config.network.update(network)
        return config

    assert widths_after(of_file, {})[1] == (128, 64, 32)  # The file set the resolution alone.
    assert widths_after(lambda: of_file(decoder_widths=(7, 7)), {})[1] == (7, 7)


def test_nothing_follows_a_method_that_is_unknown(config):
    config.method.name = "gmva"
    assert config_rules.follow_resolution(config, {"method.name"}) == []


@pytest.mark.parametrize("encoder", [(32, 64), (32, 64, 128, 256)])
def test_an_encoder_that_works_stays(encoder):
    config, flags = default.get_config(), {"data.resolution": 128}
    config.network.encoder_widths, config.network.decoder_widths = encoder, (128, 64, 32, 16)
    config.update_from_flattened_dict(flags)
    config_rules.check(config)
    assert config_rules.follow_resolution(config, flags) == []
    assert config.network.encoder_widths == encoder


def test_written_config_reads_back_and_is_the_same_run(config, tmp_path):
    configs.write(config, tmp_path / "config.json")
    assert configs.same_run(configs.read(tmp_path / "config.json"), config, tmp_path) == ""


def test_free_fields_may_change_and_others_are_named(config):
    new = config.copy_and_resolve_references()
    new.data.dir, new.log_every_steps = "/elsewhere", 7
    assert configs.same_run(config, new, "run") == ""
    new.num_train_steps += 1
    assert "num_train_steps was 20, is 21" in configs.same_run(config, new, "run")
    new.parallel.map = "pmap"
    assert "parallel.map was 'jit', is 'pmap'" in configs.same_run(config, new, "run")
    new.method.k, new.batch_size = 3.0, 16
    with pytest.raises(UserError) as error:
        configs.same_run(config, new, "run")
    assert "batch_size was 32, is 16" in str(error.value)
    assert "method.k was 2.0, is 3.0" in str(error.value)


def test_the_users_own_images_are_named_by_their_folder(config, tmp_path, monkeypatch):
    config.data.name, config.data.dir = "folder", str(tmp_path / "pics")
    new = config.copy_and_resolve_references()
    monkeypatch.chdir(tmp_path)
    new.data.dir = "pics/../pics/"
    assert configs.same_run(config, new, "run") == ""
    new.data.dir = "other"  # Where the checkpoint says whether its images are the same.
    warning = configs.same_run(config, new, "run")
    assert f"config.data.dir was '{tmp_path}/pics', is 'other'" in warning


def test_what_only_scoring_looks_at_may_change(config):
    new = config.copy_and_resolve_references()
    new.data.test_split, new.data.probe_train_split = "test@members[50%:]", "test@members[:50%]"
    assert configs.same_run(config, new, "run") == ""


def test_every_free_field_exists(config):
    free = {*configs.FREE_FIELDS, *configs.SCORING_FIELDS}
    assert free <= configs.flatten(config).keys()


def test_unknown_form_names_the_known():
    with pytest.raises(UserError, match="has no form 'cpuu', only smoke"):
        quickstart.get_config("cpuu")


def test_default_workdir(config):
    def name(flag):
        return str(command_line.default_workdir(flag, config))

    assert name("configs/mnist_gmvae.py:cpu") == "runs/mnist_gmvae-cpu-s0"
    assert (
        name("configs/tfds_gmvae.py:emnist/balanced-cpu")
        == "runs/tfds_gmvae-emnist-balanced-cpu-s0"
    )
    config.seed, config.data.dir = 3, "~/pictures/cats/"
    assert name("configs/quickstart.py") == "runs/quickstart-s3"  # It only says where TFDS looks.
    config.data.name = "folder"
    assert name("configs/folder_gmvae.py") == "runs/folder_gmvae-cats-s3"


def test_repulsion_weight_follows_the_formula():
    config = default.get_config()
    digits, size = 10, config.latents.content
    formula = config.method.w_cent * 2 * size**2 * digits / (digits - 1)
    assert config.method.w_rep == pytest.approx(formula, rel=0.02)


def test_misspelt_field_in_a_config_file_is_an_error(config):
    with pytest.raises(AttributeError, match="learning_rate"):
        config.optimizer.learning_rat = 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("optimizer.learning_rate", 0.5),
        ("data.train_split", "other"),
        ("data.grouped_fraction", 0.5),
        ("dtype", "bfloat16"),
    ],
)
def test_what_changes_the_result_may_not_change(config, field, value):
    new = config.copy_and_resolve_references()
    new.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=re.escape(f"config.{field} was")):
        configs.same_run(config, new, "run")


def test_a_field_that_only_one_config_has_is_a_difference(config):
    old = config.copy_and_resolve_references()
    with old.unlocked():
        del old.method["k"]
    with pytest.raises(UserError, match=r"method\.k was None, is 2\.0"):
        configs.same_run(old, config, "run")
