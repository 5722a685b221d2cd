"""The sweep with a launcher that only pretends to train."""

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from refvae_jax import buckets, sweep, sweep_file
from refvae_jax.sweep_file import SweepEntry

# Fails at seed 666. Waits at seed 7 until SIGTERM, then saves step 5. Else it trains
# from what it finds to the end, and scores.
LAUNCHER = """
import json, pathlib, runpy, signal, sys, time
flags = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
workdir = pathlib.Path(flags["workdir"])
seed = int(flags["config.seed"])
checkpoints = workdir / "checkpoints"
start = max((int(p.name) for p in checkpoints.glob("*")), default=0)
with open(workdir.parent / "log", "a") as log:
    log.write(f"{workdir.name} {flags['config']} {start}\\n")
if seed == 666:
    sys.exit(2)
steps = int(flags.get("config.num_train_steps", 10))
sys.path.insert(0, str(pathlib.Path.cwd()))  # The folder of the configs.
config = runpy.run_path(flags["config"].split(":")[0])["get_config"]()
config.seed, config.num_train_steps = seed, steps
checkpoints.mkdir(parents=True, exist_ok=True)
(workdir / "config.json").write_text(json.dumps(config.to_dict()))
def stop(*_):
    (checkpoints / "5").mkdir()
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
if seed == 7 and start == 0:
    (workdir / "ready").touch()
    time.sleep(30)
(checkpoints / str(steps)).mkdir(exist_ok=True)
score = {"value": .1, "probe": "mae", "source": "mean", "better": "lower", "chance": .2,
         "latent": "z", "factor": "red"}
results = {"method": workdir.name.split("-")[0], "dataset": "toy", "seed": seed, "steps": steps,
           "trained_steps": steps, "config": config.to_dict(), "images_per_second": 1.,
           "scores": {"z/red/mae": score}}
(workdir / "results.json").write_text(json.dumps(results))
"""

CONFIG = """
import ml_collections
def get_config():
    return ml_collections.ConfigDict({
        "seed": 0, "num_train_steps": 10, "beta": 4.0, "widths": (8, 16),
        "data": {"name": "toy", "dir": ""},
    }).lock()
"""


class Bench:
    """A sweep file of given runs, its folder, and what the launcher was called with."""

    def __init__(self, folder):
        self.file = folder / "toy.py"
        self.out = folder / "out"
        self.out.mkdir()

    def write(self, *runs):
        self.file.write_text(f"def get_runs():\n    return {list(runs)!r}\n")

    def start(self, *options):
        return sweep.main([str(self.file), f"--out={self.out}", *options])

    def calls(self):
        """[name of the run and its first step] since the last look."""
        log = self.out / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [" ".join(line.split()[::2]) for line in lines]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    launcher = tmp_path / "launcher.py"
    launcher.write_text(LAUNCHER)
    (tmp_path / "c.py").write_text(CONFIG)
    monkeypatch.setattr(sweep, "LAUNCH", launcher)
    monkeypatch.setattr(sweep_file, "ROOT", tmp_path)
    for of_the_whole_schema in ("check", "follow_resolution"):
        monkeypatch.setattr(sweep_file.config_rules, of_the_whole_schema, lambda *_: None)
    bench = Bench(tmp_path)
    bench.write(*(("c.py", f"{m}-s{s}", {"seed": s}) for s in (0, 1) for m in ("svae", "vae")))
    return bench


def test_all_in_order_then_the_table_and_nothing_again(bench, capfd):
    assert bench.start() == 0
    assert bench.calls() == ["svae-s0 0", "vae-s0 0", "svae-s1 0", "vae-s1 0"]
    out = capfd.readouterr().out
    assert "[1/4] svae-s0\n" in out and "| VAE " in out and "| sVAE " in out
    assert bench.start() == 0
    assert bench.calls() == []
    out = capfd.readouterr().out
    assert out.count(": finished") == 4 and "| VAE " in out


def test_in_a_bucket_too(bench, bucket, capfd):
    assert bench.start("--only=vae-s0") == 0
    assert bench.calls() == ["vae-s0 0"]
    results = bench.out / "vae-s0" / "results.json"
    buckets.upload({"vae-s0/results.json": results}, bucket)
    capfd.readouterr()
    bench.out = bucket
    assert bench.start("--dry-run", "--only=vae") == 0
    finished, to_train = capfd.readouterr().out.splitlines()
    assert finished == "vae-s0: finished" and f"--workdir={bucket}/vae-s1" in to_train
    assert bench.start("--only=vae-s0") == 0
    assert "| VAE " in capfd.readouterr().out
    assert bench.start("--out=gs://nowhere/x") == 2
    error = capfd.readouterr().err
    assert error.startswith("error: There is no bucket 'nowhere'") and "[1/4]" not in error


def test_command_line(bench):
    run = SweepEntry("configs/a.py:cpu", "a", {"seed": 3, "method.beta": 4.0, "widths": (8, 16)})
    assert sweep.command(run, bench.out / "a") == [
        sys.executable,
        str(sweep.LAUNCH),
        "--config=configs/a.py:cpu",
        f"--workdir={bench.out / 'a'}",
        "--config.seed=3",
        "--config.method.beta=4.0",
        "--config.widths=(8, 16)",
    ]


def test_what_is_not_quite_finished_runs_again(bench, capfd):
    assert bench.start() == 0
    bench.calls()
    (bench.out / "svae-s0" / "results.json").unlink()  # Stopped before it was scored.
    path = bench.out / "vae-s0" / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trained_steps": 9}))  # On the way.
    (bench.out / "vae-s1" / "results.json").write_text("{")  # Damaged.
    path = bench.out / "svae-s1" / "results.json"
    path.write_text(path.read_text().replace('"toy"', '"other"'))  # Scored with another config.
    assert bench.start() == 0
    assert bench.calls() == ["svae-s0 10", "vae-s0 10", "svae-s1 10", "vae-s1 10"]


def test_finished_means_this_run(bench):
    assert bench.start("--only=vae-s0") == 0
    workdir = bench.out / "vae-s0"

    def finished(**overrides):
        return sweep.is_finished(
            sweep_file.config_of(SweepEntry("c.py", "vae-s0", overrides)), workdir
        )

    assert finished() and finished(seed=0, beta=4, widths=(8, 16))
    assert not finished(seed=1)
    assert not finished(num_train_steps=20)
    assert not finished(widths=(8,))
    assert not sweep.is_finished(
        sweep_file.config_of(SweepEntry("c.py", "other", {})), bench.out / "other"
    )


def test_a_run_whose_config_was_edited_is_not_finished(bench):
    assert bench.start("--only=vae-s0") == 0
    run, config = SweepEntry("c.py", "vae-s0", {"seed": 0}), bench.file.with_name("c.py")

    def finished(text):
        config.write_text(text)
        return sweep.is_finished(sweep_file.config_of(run), bench.out / "vae-s0")

    assert not finished(CONFIG.replace("4.0", "3.0"))
    assert finished(CONFIG.replace('"beta"', '"new": 1, "beta"'))  # A field the run is older than.


def test_a_config_that_is_edited_meanwhile_fails_no_run(bench):
    config = bench.file.with_name("c.py")
    launcher = sweep.LAUNCH.read_text()
    edit = f"pathlib.Path({str(config)!r}).write_text({CONFIG.replace('4.0', '3.0')!r})"
    sweep.LAUNCH.write_text(launcher + edit)
    bench.write(("c.py", "svae-s0", {"seed": 0}), ("c.py", "vae-s0", {"seed": 0}))
    assert bench.start() == 0
    assert bench.calls() == ["svae-s0 0", "vae-s0 0"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("d.py", "last", {}), "Run last: there is no d.py."),
        (("toy.py", "last", {}), "Run last: toy.py defines no get_config()"),
        (("c.py", "last", {"sead": 1}), "no field 'sead'. Did you mean 'seed'?"),
        (("c.py", "last", {"seed": "x"}), "Could not override field 'seed'"),
    ],
)
def test_a_run_without_a_config_is_reported_before_the_first_is_trained(bench, capfd, entry, words):
    bench.write(("c.py", "vae-s0", {"seed": 0}), entry)
    assert bench.start() == 2
    assert words in capfd.readouterr().err
    assert bench.calls() == []


def test_a_value_that_is_not_allowed_is_reported_before_the_first_is_trained(tmp_path, capfd):
    file = tmp_path / "sweep.py"
    file.write_text(
        "def get_runs():\n"
        "    return [('configs/reference_mnist_vae.py:smoke', 'last', {'method.name': 'vaee'})]\n"
    )
    assert sweep.main([str(file), f"--out={tmp_path}"]) == 2
    assert "Run last: config.method.name is 'vaee'" in capfd.readouterr().err


def test_widths_follow_the_resolution_of_an_entry():
    entry = SweepEntry("configs/quickstart.py", "large", {"data.resolution": 64})
    (config,) = sweep_file.make_configs([entry]).values()
    assert config.network.decoder_widths == (32, 16, 8)


@pytest.mark.slow
def test_a_sweep_may_be_started_anywhere_and_starts_no_backend(tmp_path):
    """On a TPU only one process may have the backend: that of the run."""
    path = sweep_file.ROOT / "configs" / "sweeps" / "reference_mnist_cpu.py"
    program = (
        "import sys; from refvae_jax import __main__; from jax._src import xla_bridge\n"
        "assert __main__.main(sys.argv[1:]) == 0 and not xla_bridge.backends_are_initialized()"
    )
    command = [sys.executable, "-c", program, "sweep", str(path), "--dry-run", "--out=out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(sweep_file.load(path))


def test_a_failure_does_not_stop_the_others(bench, capfd):
    bench.write(("c.py", "bad-s666", {"seed": 666}), ("c.py", "vae-s0", {"seed": 0}))
    assert bench.start() == 1
    assert bench.calls() == ["bad-s666 0", "vae-s0 0"]
    out, error = capfd.readouterr()
    assert "bad-s666 ended with exit status 2" in out and "| VAE " in out
    assert error.strip().endswith("error: failed: bad-s666; see above.")
    bench.write(("c.py", "bad-s666", {"seed": 666}))
    assert bench.start() == 1  # And no table of nothing.


@pytest.fixture
def sigint_enabled():
    """A shell that starts the tests in the background lets them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint_enabled")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_the_run_save_and_the_same_command_goes_on(bench, capfd, number, status):
    runs = [("c.py", f"vae-s{seed}", {"seed": seed}) for seed in (0, 7, 1)]
    bench.write(*runs)
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]

    def send():
        deadline = time.monotonic() + 20
        while not (bench.out / "vae-s7" / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    assert bench.start() == status
    sender.join()
    assert bench.calls() == ["vae-s0 0", "vae-s7 0"]
    assert (bench.out / "vae-s7" / "checkpoints" / "5").exists()
    assert "the same command resumes" in capfd.readouterr().out
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
    assert bench.start() == 0
    assert bench.calls() == ["vae-s7 5", "vae-s1 0"]


@pytest.mark.usefixtures("sigint_enabled")
def test_a_second_signal_ends_the_child_at_once():
    class Child:
        received = ()

        def terminate(self):
            self.received += ("terminate",)

        def kill(self):
            self.received += ("kill",)

    with sweep.stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)  # Before there is a child: it is signalled later.
        stop.child = Child()
        stop.pass_on()
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.child.received == ("terminate", "kill")
    assert stop.signals == [signal.SIGTERM, signal.SIGINT]


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with sweep.stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signals == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only(bench, capfd):
    assert bench.start("--only=vae") == 0
    assert bench.calls() == ["vae-s0 0", "vae-s1 0"]  # And not svae.
    assert "| sVAE " not in capfd.readouterr().out
    assert bench.start("--only=svae-s1") == 0
    assert bench.calls() == ["svae-s1 0"]
    assert bench.start("--only=vea") == 2
    assert "--only=vea fits none of the runs svae-s0, " in capfd.readouterr().err


def test_dry_run_shows_and_does_nothing(bench, capfd):
    assert bench.start("--only=vae-s0") == 0
    capfd.readouterr()
    bench.calls()
    assert bench.start("--dry-run") == 0
    assert bench.calls() == []
    lines = capfd.readouterr().out.splitlines()
    assert lines[1] == "vae-s0: finished" and len(lines) == 4
    assert lines[0].endswith(f"--config=c.py --workdir={bench.out / 'svae-s0'} --config.seed=0")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no runs"),
        ("def get_runs():\n    return []", "no runs"),
        ("def get_runs():\n    return [('a', 'n', {}), ('b', 'n', {})]", "two runs named 'n'"),
        ("def get_runs():\n    return 1 / 0", "toy.py, line 2: ZeroDivisionError"),
        ("def get_runs(:", "SyntaxError"),
        ("def get_runs():\n    return [('a', 'n')]", "overrides"),
    ],
)
def test_a_bad_sweep_file_is_reported_in_a_sentence(bench, capfd, content, words):
    bench.file.write_text(content)
    assert bench.start() == 2
    error = capfd.readouterr().err
    assert words in error and error.startswith("error: ") and "Traceback" not in error


def test_a_missing_sweep_file_is_reported_with_the_nearest(capfd):
    assert sweep.main(["configs/sweeps/reference_mnst_cpu.py"]) == 2
    assert "Did you mean 'configs/sweeps/reference_mnist_cpu.py'?" in capfd.readouterr().err


def test_reference_mnist_cpu_is_every_method_equally_long_first_seeds_first():
    runs = sweep_file.load("configs/sweeps/reference_mnist_cpu.py")
    half = len(runs) // 2
    assert [run.overrides["seed"] for run in runs] == [0] * half + [1] * half
    assert len({run.overrides["num_train_steps"] for run in runs}) == 1
    configs = []
    for run in runs:
        path, _, form = run.config.partition(":")
        configs.append(runpy.run_path(path)["get_config"](form))
        assert run.name == f"{configs[-1].method.name}-s{run.overrides['seed']}"
    # A run may continue where a shorter one ended, because the learning rate does not fall.
    assert not any(config.optimizer.decay_at for config in configs)
    assert len({config.data.name for config in configs}) == 1
    assert {Path(run.config).stem for run in runs} == {run.config[8:-7] for run in runs}
