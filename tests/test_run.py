"""The command: one clear sentence and exit status 2 for errors that users can fix."""

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import refvae_jax
from refvae_jax import __main__, run
from refvae_jax import config as configs
from refvae_jax.errors import UserError
from refvae_jax.evaluation.score import Score
from refvae_jax.files import user_path
from tests.conftest import xla_flags

HOME = os.path.expanduser("~/x.py")
QUICK = "--config=configs/quickstart.py:smoke"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which config?"),
        (["--config="], "Which config?"),
        (["--config=configs/quikstart.py"], "Did you mean 'configs/quickstart.py'?"),
        (["--config=configs/quickstart.py:fast"], "has no form 'fast', only smoke"),
        ([QUICK, "--config.metod.k=3"], "no field 'metod'. Did you mean 'method'?"),
        ([QUICK, "--config.method.nane=mlvae"], "no field 'nane'. Did you mean 'name'?"),
        ([QUICK, "--config.batch_size=many"], "--config.batch_size=many"),
        ([QUICK, "train"], "Unexpected argument 'train'"),
        (["--config=runs/x/config.json"], "is no config file"),
        (["--config=configs"], "configs cannot be read: Is a directory"),
        (["--config=~/x.py"], f"There is no config file {HOME}"),
    ],
)
def test_a_command_line_that_names_no_config(parse, arguments, words):
    with pytest.raises(UserError, match=re.escape(words)):
        parse(*arguments)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        pytest.param("--config.batch_size=5000", "5000", marks=pytest.mark.slow),
        ("--config.method.name=gmva", "Did you mean 'gmvae'?"),
        pytest.param("--config.data.name=mnst", "Did you mean 'mnist'?", marks=pytest.mark.slow),
        ("--config.data.grouped_fraction=1.5", "from 0 to 1"),
    ],
)
def test_a_config_that_cannot_be_run(parse, tmp_path, argument, words):
    with pytest.raises(UserError, match=re.escape(words)):
        run.run(parse(QUICK, argument)[0], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which config?"),
        ([QUICK, "--mode=fly"], "mode"),
        ([QUICK, "--mode=eval"], "There is no run in"),
    ],
)
def test_one_sentence_and_status_2(launch, tmp_path, arguments, words):
    result = launch(*arguments, f"--workdir={tmp_path}/run")
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")


def test_workdir_of_another_config_is_refused_with_the_difference(workdir, config):
    before = (workdir / "config.json").read_bytes()
    config.method.k = 3.0
    with pytest.raises(UserError, match=r"config\.method\.k was 2\.0, is 3\.0"):
        run.run(config, workdir)
    assert (workdir / "config.json").read_bytes() == before


def test_a_field_that_is_newer_than_the_run_had_its_default(config, tmp_path, monkeypatch):
    old = config.copy_and_resolve_references()
    with old.unlocked():
        del old.method["w_kl"], old["latents"]
    configs.write(old, tmp_path / "config.json")
    monkeypatch.setattr(run.checkpoint, "steps", lambda workdir: [10])
    run.check_same_run(config, tmp_path)
    config.method.w_kl = 0.5
    with pytest.raises(UserError, match=r"config\.method\.w_kl was 0\.0001, is 0\.5"):
        run.check_same_run(config, tmp_path)


def test_a_bad_first_try_does_not_claim_the_workdir(tmp_path, config):
    config.batch_size = 5_000
    with pytest.raises(UserError, match="batch_size is 5000"):
        run.run(config, tmp_path)
    config.batch_size = 32
    run.check_same_run(config, tmp_path)


@pytest.mark.parametrize("mode", ["eval", "figures"])
def test_other_modes_refuse_another_config_too(workdir, config, mode):
    config.method.name = "mlvae"
    with pytest.raises(UserError, match="'gmvae', is 'mlvae'"):
        run.run(config, workdir, mode)


@pytest.mark.slow
def test_batch_that_does_not_divide_among_the_devices(launch, tmp_path):
    flags = xla_flags(xla_force_host_platform_device_count=3)
    result = launch(QUICK, f"--workdir={tmp_path}/run", env=flags)
    assert result.returncode == 2 and "--config.batch_size=30" in result.stderr


@pytest.mark.parametrize(("cpu", "expected"), [(True, ["keep", "join"]), (False, ["join"])])
def test_memory_is_kept_only_on_a_cpu_and_before_the_backend_starts(
    config, tmp_path, monkeypatch, cpu, expected
):
    calls = []

    def join(*_):
        calls.append("join")
        raise InterruptedError

    monkeypatch.setattr(run.allocator, "only_cpu", lambda platforms: cpu)
    monkeypatch.setattr(run.allocator, "keep_memory", lambda: calls.append("keep"))
    monkeypatch.setattr(run.processes, "join", join)
    with pytest.raises(InterruptedError):
        run.run(config, tmp_path)
    assert calls == expected


@pytest.mark.slow
def test_workdir_in_use_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from refvae_jax import run\n"
        "with run.only_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="Another run is using"), run.only_run(tmp_path):
        pass
    holder.kill()  # The lock ends with its process.
    holder.wait()
    with run.only_run(tmp_path):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_place_where_no_workdir_can_be_is_one_sentence(launch, mode):
    result = launch(QUICK, "--workdir=/proc/nowhere", f"--mode={mode}")
    assert result.returncode == 2, result.stderr
    assert "/proc/nowhere" in result.stderr and "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("mode", run.MODES)
def test_a_workdir_that_is_or_lies_below_a_file(config, tmp_path, mode):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file: name"):
        run.run(config, tmp_path / "file", mode)
    with pytest.raises(UserError, match=r"Cannot use .*Not a directory|There is no run in"):
        run.run(config, tmp_path / "file" / "run", mode)


def test_a_cache_that_cannot_be_made(config, tmp_path):
    config.data.cache_dir = "/proc/nowhere"
    with pytest.raises(UserError, match=r"Cannot use /proc/nowhere.*--config\.data\.cache_dir"):
        run.run(config, tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00\xff"])
def test_a_damaged_config_is_named(config, workdir, content):
    (workdir / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        run.run(config, workdir, "eval")


def test_a_config_that_cannot_be_read(config, workdir):
    (workdir / "config.json").unlink()
    (workdir / "config.json").mkdir()
    with pytest.raises(UserError, match=r"Cannot use .*config\.json: Is a directory"):
        run.run(config, workdir, "eval")


@pytest.mark.parametrize("mode", run.MODES)
def test_what_is_inside_a_run_is_no_workdir(config, tmp_path, mode):
    configs.write(config, tmp_path / "config.json")
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    with pytest.raises(UserError, match=f"is inside a run: name {tmp_path}"):
        run.run(config, tmp_path / "checkpoints", mode)
    assert os.listdir(tmp_path / "checkpoints") == ["20"]


@pytest.mark.parametrize("mode", ["eval", "figures"])
def test_a_folder_that_is_no_run_stays_as_it_is(config, tmp_path, mode):
    with pytest.raises(UserError, match="is not a run"):
        run.run(config, tmp_path, mode)
    assert not os.listdir(tmp_path)


def copy_it(workdir):
    return f"copy the run with `cp -r --no-preserve=mode {workdir} COPY`"


def test_the_advice_for_a_full_or_read_only_disk(config, tmp_path):
    config.data.cache_dir, config.data.dir = "/cache", "/data"
    other = "choose another place with"
    new = run.places_of(config, tmp_path, "train")
    assert new[tmp_path] == f"{other} --workdir"
    assert new[Path("/cache")] == f"{other} --config.data.cache_dir"
    assert new[Path("/data")] == f"{other} --config.data.dir"
    in_bucket = run.places_of(config, user_path("gs://bucket/run"), "train")
    assert in_bucket[Path(tempfile.gettempdir())] == "choose another folder with TMPDIR"
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    advice = run.places_of(config, tmp_path, "eval")[tmp_path]
    assert advice.startswith(f"{copy_it(tmp_path)} and name the copy, --workdir=COPY, since ")
    assert run.places_of(config, tmp_path, "train")[tmp_path] == (
        f"{advice}; saved checkpoints are untouched"
    )


def test_the_advice_knows_of_checkpoints_saved_since_the_start(config, tmp_path, monkeypatch):
    def fill_the_disk(config):
        (tmp_path / "checkpoints" / "20").mkdir(parents=True)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run, "open_splits", fill_the_disk)
    with pytest.raises(UserError, match=r"or copy the run .*; saved checkpoints are untouched\."):
        run.run(config, tmp_path)


@pytest.mark.parametrize("mode", run.MODES)
def test_a_lock_that_cannot_be_opened(config, tmp_path, mode, monkeypatch):
    """As in a folder that is read-only, which does not keep the superuser from writing."""
    configs.write(config, tmp_path / "config.json")
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)

    def read_only(path, when_taken):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(run, "locked", read_only)
    with pytest.raises(UserError, match=r"Cannot use .*\.lock: Read-only") as caught:
        run.run(config, tmp_path, mode)
    assert f". C{copy_it(tmp_path)[1:]}" in str(caught.value)


def files_of(folder):
    """{path: (time of the last change, content)} of all files of a folder but the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


SCORE = Score(0.5, "strong_accuracy", "mean", "higher", 0.1, "content", "label")


def test_ctrl_c_while_scoring_loses_nothing_and_the_run_may_be_renamed(
    workdir, config, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    moved = workdir.rename(workdir.parent / "another name")
    before = files_of(moved)
    monkeypatch.setattr("refvae_jax.evaluation.evaluate.score_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run(config, moved, "eval")
    assert files_of(moved) == before
    monkeypatch.setattr("refvae_jax.evaluation.evaluate.score_model", lambda *_: [SCORE])
    run.run(config, moved, "eval")  # The lock is free again.
    changed = {path.name for path, found in files_of(moved).items() if before[path] != found}
    assert changed == {"results.json", "report.html"} and not workdir.exists()


def test_reading_a_run_writes_nothing_into_it(trained, tmp_path):
    """So a run in a folder that is read-only can be read."""
    before = files_of(trained)
    images = np.zeros((2, 32, 32, 1), np.uint8)
    refvae_jax.load(trained).reconstruct(images)
    assert __main__.main(["table", str(trained)]) == 0
    assert __main__.main(["report", str(trained), f"--out={tmp_path}/report.html"]) == 0
    assert __main__.main(["sample", str(trained), f"--out={tmp_path}/sample.png"]) == 0
    assert files_of(trained) == before


def test_a_compilation_cache_that_the_user_chose_stays(monkeypatch):
    import fsspec
    import jax

    monkeypatch.setattr(fsspec.config, "conf", {})

    chosen, before = "gs://bucket/xla", jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", chosen)  # As JAX_COMPILATION_CACHE_DIR does.
        run.use_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == chosen
        assert "requests_timeout" in fsspec.config.conf["gs"]  # JAX would wait for ever.
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
