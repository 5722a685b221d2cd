"""Runs from end to end: complete, resumed exactly, stopped, refused."""

import json
import signal
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from configs import quickstart
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import UserError
from refvae_jax.evaluation.evaluate import evaluate
from refvae_jax.figures.draw import draw
from refvae_jax.training import checkpoint, loop, setup
from tests.conftest import ROOT, known_to_xla


def train(config, workdir):
    return loop.train(config, workdir, open_splits(config))


def same_arrays(a, b):
    left, right = (checkpoint.load(w, "last")[0] for w in (a, b))
    jax.tree.map(np.testing.assert_array_equal, left, right)


def lines(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


def test_a_run_leaves_what_the_docs_promise(trained):
    names = {str(p.relative_to(trained)) for p in trained.rglob("*") if p.is_file()}
    assert {"config.json", "metrics.jsonl", "timing.jsonl", "results.json"} <= names
    pictures = {"swaps", "interpolation", "samples_prior", "samples_aggregate"}
    assert {f"figures/{p}.png" for p in pictures} | {"figures/interpolation.gif"} <= names
    assert any("tfevents" in name for name in names)
    rows = lines(trained)
    assert [r["step"] for r in rows if "loss/model" in r] == [10, 20]
    assert [r["step"] for r in rows if "validation/squared_error" in r] == [10, 20]
    assert not any("images_per_second" in r for r in rows), "the clock belongs in timing.jsonl"
    assert rows[-1]["validation/squared_error"] < rows[1]["validation/squared_error"], "it learns"


def test_validation_error_is_that_of_the_loaded_model(trained):
    from refvae_jax.data.cache import open_split
    from refvae_jax.inference import load

    config = quickstart.get_config("smoke")
    images = open_split(config.data, "validation").image
    recon = load(trained, "last").reconstruct(images)
    error = ((recon / 255.0 - images / 255.0) ** 2).sum(axis=(1, 2, 3)).mean()
    np.testing.assert_allclose(error, lines(trained)[-1]["validation/squared_error"], rtol=0.01)


def test_a_finished_run_has_nothing_left_to_train(trained, workdir, config):
    before = (workdir / "metrics.jsonl").read_bytes()
    assert train(config, workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == before
    same_arrays(trained, workdir)


def test_a_call_ends_where_the_host_must_see_a_step(config):
    config.num_train_steps, config.steps_per_call = 48, 4
    config.log_every_steps, config.validate_every_steps, config.checkpoint_every_steps = 10, 20, 12
    step, ends = 1, []
    while step < 48:
        step += loop.steps_of_call(step, config)
        ends.append(step)
    assert {10, 12, 20, 24, 30, 36, 40, 48} <= set(ends)
    assert ends == [5, 9, 10, 11, 12, 16, 20, 24, 28, 29, 30, 34, 35, 36, 40, 44, 48]


@pytest.mark.slow
def test_several_steps_per_call_are_the_same_to_the_bit(config, tmp_path, capsys, monkeypatch):
    def compile_as_users_do(lowered, options=None):
        return compile_lowered(lowered, (options or {}) | usual)

    # Without its fusion emitters XLA rounds differently in a loop.
    usual = {flag: True for flag in ("xla_cpu_use_fusion_emitters",) if known_to_xla(flag)}
    compile_lowered = jax.stages.Lowered.compile
    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_as_users_do)
    one, four = tmp_path / "one", tmp_path / "four"
    assert train(config, one)
    config.steps_per_call, config.checkpoint_every_steps = 4, 9
    config.profile.first_step, config.profile.num_steps = 6, 2
    assert train(config, four)  # Calls of 4 and of 1 steps: to 4, 8, 9, 10, 14, 18, 19, 20.
    said = capsys.readouterr().out
    assert f"profile of the steps 5 to 8 in {four / 'profile'}" in said
    assert said.count("config.steps_per_call 4 does not divide every cadence") == 1
    same_arrays(one, four)
    assert (one / "metrics.jsonl").read_bytes() == (four / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_costs_steps_but_not_the_result(trained, workdir, config):
    file = max((workdir / "checkpoints" / "20").rglob("*"), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 16
    file.write_bytes(content)
    assert train(config, workdir)
    same_arrays(trained, workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()


# Trains until it kills itself in the middle of the save of one step, or before that of another.
KILLED = """
import os, signal, sys
from pathlib import Path
from configs import quickstart
from refvae_jax.data.splits import open_splits
from refvae_jax.training import checkpoint, devices, loop

devices.use_compilation_cache()
workdir, during, before = Path(sys.argv[1]), *map(int, sys.argv[2:])
write_manifest, save = checkpoint.Checkpoints._write_manifest, checkpoint.Checkpoints.save

def interrupted_write(self):
    if any((workdir / "checkpoints").glob(f"{during}.*tmp*")):
        os.kill(os.getpid(), signal.SIGKILL)
    write_manifest(self)

def interrupted_save(self, state, *arguments):
    if int(state.step) == before:
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, state, *arguments)

checkpoint.Checkpoints._write_manifest = interrupted_write
checkpoint.Checkpoints.save = interrupted_save
config = quickstart.get_config("smoke")
config.num_train_steps, config.checkpoint_every_steps = 32, 4
loop.train(config, workdir, open_splits(config))
"""


def train_until_killed(workdir, during=0, before=0):
    command = [sys.executable, "-c", KILLED, str(workdir), str(during), str(before)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_killed_at_any_moment_it_ends_bit_identical(config, tmp_path):
    """Killed in the middle of a save, and again some steps later; then run to the end."""
    config.num_train_steps, config.checkpoint_every_steps = 32, 4
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for workdir in (whole, killed):
        workdir.mkdir()
    assert train(config, whole)

    train_until_killed(killed, during=12)
    assert checkpoint.steps(killed)[-1] == 10 and lines(killed)[-1]["step"] >= 10
    train_until_killed(killed, before=24)
    assert checkpoint.steps(killed)[-1] in (16, 20)  # 20 may still have been on its way to disk.
    assert train(config, killed)

    same_arrays(whole, killed)
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()


@pytest.mark.slow
def test_the_best_checkpoint_is_one_with_the_independence_term(config, tmp_path):
    """Without it images are reconstructed better, and the latents are not what was asked for."""
    config.method.w_independence = 1.0  # From step 10 of 20 on; validated at both.
    assert train(config, tmp_path)
    assert checkpoint.steps(tmp_path) == [10, 20]
    assert checkpoint.validation_errors(tmp_path).keys() == {20}
    assert {"style/dependence", "style/equal_labels"} <= lines(tmp_path)[-2].keys()


def start(workdir, *flags):
    arguments = ["launch.py", "--config=configs/quickstart.py:smoke", f"--workdir={workdir}"]
    return subprocess.Popen(
        [sys.executable, *arguments, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def terminate_at(process, words):
    """Sends SIGTERM at the line that begins with these words; the output from there on."""
    for line in process.stdout:
        if line.startswith(words):
            process.send_signal(signal.SIGTERM)
            break
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
def test_sigterm_saves_and_exits_0(tmp_path):
    said = terminate_at(start(tmp_path, "--config.num_train_steps=10_000"), "first step")
    assert "SIGTERM: saving step" in said and "stopped by SIGTERM at step" in said
    assert 1 <= checkpoint.steps(tmp_path)[-1] < 10_000


def test_sigterm_after_training_exits_0_with_a_message(workdir):
    (workdir / "results.json").unlink()
    output = terminate_at(start(workdir), "evaluating")
    assert "resumes from the last checkpoint" in output
    assert "Traceback" not in output
    assert checkpoint.steps(workdir)[-1] == 20
    assert not (workdir / "results.json").exists()


@pytest.mark.slow
def test_nonfinite_loss_stops_with_the_step_and_keeps_the_last_good(config, tmp_path, monkeypatch):
    def explode(config, learning_rate):
        return lambda step: jax.numpy.where(step < 12, learning_rate, jax.numpy.inf)

    looked = []
    monkeypatch.setattr(setup, "schedule", explode)
    monkeypatch.setattr(loop.SaturationWatch, "look", lambda self, step, row: looked.append(step))
    # No line is logged between the step that breaks the parameters and the next checkpoint.
    config.log_every_steps, config.checkpoint_every_steps = 8, 5
    with pytest.raises(UserError, match=r"not finite at step 14.*of step 10, is good"):
        train(config, tmp_path)
    assert checkpoint.steps(tmp_path) == [5, 10] and looked == [8]
    for leaf in jax.tree.leaves(checkpoint.load(tmp_path)[0]):
        assert np.isfinite(leaf).all()


def test_learning_rate_schedules(config):
    config.num_train_steps, config.optimizer.schedule = 200, "step"
    rate = setup.schedule(config, 1e-3)
    got = [float(rate(s)) for s in (0, 49, 50, 99, 100, 199)]
    np.testing.assert_allclose(got, [1e-3, 1e-3, 2e-4, 2e-4, 4e-5, 4e-5], rtol=1e-5)
    config.optimizer.schedule = "cosine"
    rate = setup.schedule(config, 1e-3)
    np.testing.assert_allclose([rate(0), rate(100), rate(200)], [1e-3, 5e-4, 0], atol=1e-9)


@pytest.mark.parametrize("kind", ["step", "cosine"])
def test_warm_up_is_linear_and_then_leaves_the_schedule_as_it_was(config, kind):
    config.num_train_steps, config.optimizer.schedule = 200, kind
    without = setup.schedule(config, 1e-3)
    config.optimizer.warmup_steps = 60  # The step schedule falls at 50, the cosine from 0 on.
    rate = setup.schedule(config, 1e-3)
    counts = np.array([0, 1, 29, 49, 50, 58, 59, 60, 150])
    risen = np.array([1, 2, 30, 50, 51, 59, 60, 60, 60]) / 60
    np.testing.assert_allclose(
        [rate(n) for n in counts], risen * [without(n) for n in counts], rtol=1e-6
    )
    assert rate(jax.numpy.int32(0)) == pytest.approx(1e-3 / 60), "no update is lost"


@pytest.mark.slow
def test_optimizer_is_adam_with_the_configs_constants(config):
    config.optimizer.b1 = 0.5
    prepared = setup.prepare(config, open_splits(config))
    params = setup.initial_variables(prepared.method, 0)["params"]["model"]
    grads = jax.tree.map(lambda p: 0.1 + p, params)
    tx = prepared.optimizers["model"]
    expected = optax.adam(1e-3, b1=0.5)
    got, _ = tx.update(grads, tx.init(params), params)
    want, _ = expected.update(grads, expected.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), got, want)


def test_each_player_has_adam_with_its_own_constants(config):
    config.optimizer.schedule = "step"
    config.optimizer.update({"learning_rate": 1e-3, "b1": 0.7, "b2": 0.99})
    config.discriminator_optimizer.update({"learning_rate": 4e-3, "b1": 0.3, "b2": 0.8})
    got = setup.make_optimizers(config, ("discriminator", "model"))
    want = {
        "discriminator": optax.adam(4e-3, b1=0.3, b2=0.8),
        "model": optax.adam(1e-3, b1=0.7, b2=0.99),
    }
    assert got.keys() == want.keys()
    for player, expected in want.items():
        tx, params = got[player], np.zeros(2)
        state, expected_state = tx.init(params), expected.init(params)
        # The first update of Adam is the rate for any constants, the second is not.
        for grads in (np.array([0.1, -2.0]), np.array([3.0, 0.4])):
            update, state = tx.update(grads, state, params)
            expected_update, expected_state = expected.update(grads, expected_state, params)
            np.testing.assert_allclose(update, expected_update, rtol=1e-5)


def test_other_images_than_those_trained_on_are_refused(workdir, config):
    config.data.train_split = "train[:500]"
    with pytest.raises(UserError, match="num_train_images was 512, is 500"):
        train(config, workdir)


def test_fewer_steps_than_are_trained_are_refused(workdir, config):
    config.num_train_steps = 10
    with pytest.raises(UserError, match="is trained to step 20 already"):
        train(config, workdir)


@pytest.mark.parametrize("mode", [train, evaluate, draw])
def test_as_many_other_images_are_refused_too(workdir, config, mode):
    config.data.train_split = "train[1:513]"
    with pytest.raises(UserError, match="train_digest was"):
        mode(config, workdir)


@pytest.mark.parametrize(
    ("split", "problem"), [("test[:0]", "empty"), ("test[:1]", "single image")]
)
def test_errors_in_the_test_split_are_reported_before_training(config, split, problem):
    config.data.test_split = split
    with pytest.raises(UserError, match=problem):
        setup.prepare(config, open_splits(config))


def test_images_of_which_nothing_is_known_are_warned_of(config, monkeypatch, capsys):
    monkeypatch.setattr(setup, "categorical_factors", lambda part: {})
    setup.prepare(config, open_splits(config))
    assert "nothing is known of these images to score by" in capsys.readouterr().out
