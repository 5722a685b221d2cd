"""An exported model, read where there is no refvae_jax, and what its folder says."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export, lax

import refvae_jax
from configs import quickstart
from refvae_jax import __main__, config_rules, packed
from refvae_jax.errors import UserError
from refvae_jax.evaluation.score import Score
from refvae_jax.export import programs
from refvae_jax.export.card import MEANINGS, card
from refvae_jax.export.folder import check_new, describe, results_and_licence
from refvae_jax.inference import Stored, method_of, read
from refvae_jax.model import decoder

SIDE = 16

# What `pip install jax` installs, and its shared libraries.
JAX = ("jax", "jaxlib", "ml_dtypes", "numpy", "numpy.libs", "opt_einsum", "scipy", "scipy.libs")

READ = """
import sys
site, folder, images, out = sys.argv[1:]
sys.path[:0] = [site, folder]
import numpy as np
import read

latents = read.encode(np.load(images))
decoded = read.decode({name: q["mean"] for name, q in latents.items()})
codes = {f"{name}_{part}": x for name, q in latents.items() for part, x in q.items()}
np.savez(out, decoded=decoded, **codes)
for bad in (np.load(images)[:0], np.load(images)[..., 0], np.load(images) / 255):
    try:
        read.encode(bad)
        raise AssertionError
    except ValueError as error:
        assert str(error) == "encode takes uint8[b,16,16,1], NumPy arrays with b of 1 or more."
assert "refvae_jax" not in sys.modules
print(sys.modules["flatbuffers"].__file__)
"""


def random_variables(method):
    """Variables of a Method, all of them random; variances are positive."""
    rng = np.random.default_rng(0)

    def draw(path, shape):
        drawn = rng.normal(0, 0.3, shape.shape).astype(np.float32)
        return np.abs(drawn) + 0.5 if "var" in jax.tree_util.keystr(path) else drawn

    shapes = jax.eval_shape(method.init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small model in a folder that takes a run's place."""
    config = quickstart.get_config("smoke")
    config.data.resolution = SIDE
    config.network.encoder_widths, config.network.decoder_widths = (4, 8), (4,)
    record = {"config": config.to_dict(), "image_shape": [SIDE, SIDE, 1], "num_train_images": 100}
    score = Score(0.9, "strong_accuracy", "mean", "higher", 0.1, "content", "label")
    results = {"steps": 7, "config": config.to_dict(), "scores": {score.name: score.to_json()}}
    stored = Stored(random_variables(method_of(record)), record, 7)
    folder = tmp_path_factory.mktemp("run")
    packed.write(
        folder, stored.variables, describe(stored, {"content": 8, "style": 8}, results, "")
    )
    return str(folder)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """The same, exported."""
    out = tmp_path_factory.mktemp("export") / "model"
    assert __main__.main(["export", run, f"--out={out}", "--licence=Apache-2.0"]) == 0
    return out


def site_with_jax_alone(tmp_path):
    """A folder in which Python finds jax and what it needs, and nothing else."""
    installed = Path(importlib.util.find_spec("jax").origin).parent.parent
    (tmp_path / "site").mkdir()
    for name in JAX:
        if (installed / name).exists():
            (tmp_path / "site" / name).symlink_to(installed / name)
    return tmp_path / "site"


def test_where_only_jax_is_installed_each_value_is_that_of_load(run, folder, tmp_path, optimised):
    shape = (257, SIDE, SIDE, 1)  # More than a batch of the reader.
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "images.npy", images)
    paths = [site_with_jax_alone(tmp_path), folder, tmp_path / "images.npy", tmp_path / "out.npz"]
    # -I and -S: no working folder, no PYTHONPATH, no site-packages.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", READ, *map(str, paths)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / "flatbuffers" / "__init__.py")
    found = np.load(tmp_path / "out.npz")
    model = refvae_jax.load(run)
    latents = model.encode(images)
    for name, q in latents.items():
        np.testing.assert_array_equal(found[f"{name}_mean"], q.mean)
        np.testing.assert_array_equal(found[f"{name}_logvar"], q.logvar)
    np.testing.assert_array_equal(found["decoded"], model.reconstruct(images))
    assert len(found.files) == 1 + 2 * len(latents)


def test_the_folder_takes_the_place_of_a_run(run, folder):
    ours, theirs = read(run), read(folder)
    jax.tree.map(np.testing.assert_array_equal, ours.variables, theirs.variables)
    assert ours.record == theirs.record and ours.step == theirs.step == 7


def test_what_the_folder_holds(folder):
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}  # Of the test above.
    programs_and_reader = {"encode.jax", "decode.jax", "read.py", "flatbuffers"}
    assert names == {"README.md", packed.DESCRIPTION, packed.ARRAYS} | programs_and_reader
    assert len((folder / "read.py").read_text().splitlines()) <= 28
    for name in ("encode", "decode"):
        program = export.deserialize(bytearray((folder / f"{name}.jax").read_bytes()))
        assert program.platforms == ("cpu", "cuda", "tpu")
        assert str(program.in_avals[-1].shape[0]) == "b"


def test_the_licence_is_passed_on(folder):
    for run in (str(folder), "example:digits"):
        assert results_and_licence(run)[1] == "Apache-2.0"


def operations(program):
    return Counter(re.findall(r"stablehlo\.\w+", program.mlir_module()))


def test_each_platform_has_a_branch_in_its_own_form(run, monkeypatch):
    variables, record, _ = read(run)
    codes = {name: np.zeros((1, 8), np.float32) for name in ("content", "style")}
    arrays = packed.flattened(variables)
    shapes = export.symbolic_args_specs((arrays, codes), (None, "b, ..."))

    def lowered(platform):
        decode = decoder(method_of(record, platform))
        plain = jax.jit(lambda a, c: decode(packed.unflattened(a, variables), c))
        return operations(export.export(plain, platforms=tuple(programs.PLATFORMS))(*shapes))

    choose = lambda *inputs, **branches: branches["tpu"](*inputs)  # noqa: E731
    monkeypatch.setattr(lax, "platform_dependent", choose)
    chosen = operations(programs.make_programs(variables, record)["decode"])
    assert chosen == lowered("tpu") != lowered("cpu")


def test_the_card_says_what_the_model_is(folder):
    text = (folder / "README.md").read_text()
    assert text.startswith('---\nlicense: "Apache-2.0"\n')
    description = packed.read_description(folder)
    for latent, size in description["latents"].items():
        assert f"| `{latent}` | {size} | {MEANINGS[latent]} |" in text
    assert "| `content/label/strong_accuracy` | 0.900 | 0.100 |  | higher |" in text
    for heading in ("Data and licence", "Limits", "Training", "Use"):
        assert f"\n## {heading}\n" in text
    assert "python launch.py --config=configs/default.py" in text
    assert f"jax {jax.__version__}" in text


def test_a_card_without_licence_and_scores_says_so(run):
    stored = read(run)
    text = card(describe(stored, {"content": 3, "style": 2}, None, ""))
    assert text.startswith('---\nlicense: "unknown"\n') and "not stated" in text
    assert "This model was not scored." in text


def test_scores_of_another_step_and_of_other_images_are_marked(run):
    stored = read(run)
    results, _ = results_and_licence(run)
    here = f"The parameters here are those after {stored.step:,} steps."
    assert here not in card(describe(stored, {}, results, ""))
    assert here in card(describe(stored, {}, results | {"steps": stored.step + 1}, ""))
    results["config"]["data"]["test_split"] = "test[:5]"
    assert "| test split | `test[:5]` |" in card(describe(stored, {}, results, ""))


def test_results_of_a_run_are_read_or_reported(tmp_path):
    (tmp_path / "config.json").write_text('{"method": {}, "data": {}}')
    assert results_and_licence(str(tmp_path)) == (None, "")
    for text in ("{", "{}", '{"scores": {"a": {"value": 1.0}}}'):  # Cut, of no run, of version 0.1.
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(UserError, match=r"results\.json cannot be read .*--mode=eval"):
            results_and_licence(str(tmp_path))


def test_every_latent_that_can_be_configured_has_a_meaning():
    names = [field.name for field in config_rules.FIELDS]
    latents = {name.removeprefix("latents.") for name in names if name.startswith("latents.")}
    assert MEANINGS.keys() == latents


def test_no_folder_of_this_machine_is_passed_on(run):
    stored = read(run)
    data = {"name": "folder", "dir": "/home/anna/faces", "cache_dir": "/home/anna/.cache"}
    config = stored.record["config"]
    config = config | {"data": config["data"] | data}
    stored = stored._replace(record=stored.record | {"config": config})
    description = describe(
        stored, {"content": 3}, results_and_licence(run)[0] | {"config": config}, ""
    )
    text = json.dumps(description) + card(description)
    assert "anna" not in text and "--config.data.dir=faces" in text


def test_bad_input_is_one_sentence(run, folder, tmp_path, capsys):
    (tmp_path / "file").touch()
    for arguments, words in [
        ([run, f"--out={folder}"], f"--out={folder} is not empty: name a new folder."),
        ([run, f"--out={tmp_path}/file"], f"--out={tmp_path}/file is a file: name a new folder."),
        ([run, "--out=/proc/none/model"], "Choose another place with --out."),
        ([run, f"--out={tmp_path}/model", "--step=1"], "has one checkpoint"),
        (["example:faces", f"--out={tmp_path}/model"], "There is no example 'faces'."),
        ([str(tmp_path / "none"), f"--out={tmp_path}/model"], "There is no run in"),
    ]:
        assert __main__.main(["export", *arguments]) == 2, arguments
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1 and message.startswith("error: ")
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(UserError, match="is in a bucket: name a local folder"):
        check_new("gs://bucket/model")
