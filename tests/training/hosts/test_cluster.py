"""Where the processes of a run are, from the environment that each cluster sets."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from refvae_jax.errors import UserError
from refvae_jax.training.hosts.cluster import find_place, how_to_start
from refvae_jax.training.hosts.roster import Place
from tests.conftest import ROOT

BY_HAND = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
}


@pytest.fixture
def place_in(monkeypatch):
    """place_in(environ) -> find_place there; JAX's own detection reads os.environ."""

    def find(environ):
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            return find_place(environ)

    return find


@pytest.mark.parametrize(
    "environ",
    [
        {},
        BY_HAND | {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"},
        {"SLURM_NTASKS": "1"},
        {"OMPI_COMM_WORLD_SIZE": "1"},
        {"TPU_WORKER_HOSTNAMES": "a", "TPU_WORKER_ID": "0"},
        {"TPU_ML_PLATFORM": "JAX", "TPU_PROCESS_ADDRESSES": "local"},
        {"TPU_ML_PLATFORM": "JAX", "JAX_PLATFORMS": "cpu"},
        {"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"},
    ],
)
def test_a_single_process(place_in, environ):
    assert place_in(environ) is None


def test_by_hand(place_in):
    assert place_in(BY_HAND) == Place("host", 1234, 2, 1)
    assert place_in(BY_HAND | {"JAX_COORDINATOR_ADDRESS": "[::1]:99"}).host == "::1"
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES"):
        place_in({"JAX_COORDINATOR_ADDRESS": "host:1234"})
    with pytest.raises(UserError, match="JAX_PROCESS_ID is 2"):
        place_in(BY_HAND | {"JAX_PROCESS_ID": "2"})
    for address in ("host", "host:http", ":1234"):
        with pytest.raises(UserError, match="cannot be found"):
            place_in(BY_HAND | {"JAX_COORDINATOR_ADDRESS": address})


def test_slurm(place_in):
    srun = {
        "SLURM_JOB_ID": "4097",
        "SLURM_NTASKS": "8",
        "SLURM_PROCID": "5",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "node[003,007-008],other2",
    }
    assert place_in(srun) == Place("node003", 61441, 8, 5, [1])
    assert place_in(srun | {"JAX_LOCAL_DEVICE_IDS": "0,1"}).devices is None
    with pytest.raises(UserError, match="start python with srun"):
        place_in({"SLURM_NTASKS": "4", "SLURM_JOB_ID": "5"})  # In sbatch, outside of srun.


def test_open_mpi(place_in):
    mpirun = {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "4",
        "OMPI_COMM_WORLD_RANK": "3",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    }
    place = place_in(mpirun)
    assert (place.host, place.num_processes, place.process_id) == ("10.96.0.1", 4, 3)


def test_what_to_type():
    place = Place("10.0.0.1", 1234, 3, 0)
    assert how_to_start(2, place, BY_HAND, "python launch.py --config=a.py") == (
        "on its host type `JAX_COORDINATOR_ADDRESS=10.0.0.1:1234 JAX_NUM_PROCESSES=3 "
        "JAX_PROCESS_ID=2 python launch.py --config=a.py`."
    )
    assert how_to_start(2, place, {}, "") == "start the same command on every host of the cluster."


# JAX looks for a TPU when it is loaded, finds none here and sets TPU_SKIP_MDS_QUERY.
ON_TPU = """
import json, os, sys
from refvae_jax.training.hosts.cluster import find_place
del os.environ["TPU_SKIP_MDS_QUERY"]
for settings in json.loads(sys.argv[1]):
    os.environ.update(settings)
    print(*find_place(os.environ))
"""


@pytest.fixture
def metadata():
    """The environment of a TPU VM, worker 2 of 3, and a server in the place of its cloud's."""
    attributes = {
        "agent-worker-number": "2",
        "worker-network-endpoints": "a:1:localhost,b:2:10.0.0.2,c:3:10.0.0.3",
        "tpu-env": "ZONE: 'here'\nNODE_ID: 'pod'",
    }

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            value = attributes.get(self.path.rpartition("/")[2])
            self.send_response(404 if value is None else 200)
            self.end_headers()
            self.wfile.write((value or "").encode())

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_address[1]}"
        yield {"GCE_METADATA_IP": address, "JAX_FORCE_TPU_INIT": "1", "JAX_PLATFORMS": ""}
        server.shutdown()


@pytest.mark.slow
def test_tpu_pods(metadata):
    vm = {"TPU_ML_PLATFORM": "JAX"}
    gke = {
        "TPU_SKIP_MDS_QUERY": "true",
        "TPU_WORKER_HOSTNAMES": "localhost,h1,h2,h3",
        "TPU_WORKER_ID": "1",
    }
    slices = {
        "MEGASCALE_NUM_SLICES": "2",
        "MEGASCALE_SLICE_ID": "1",
        "MEGASCALE_COORDINATOR_ADDRESS": "localhost:8081",
    }
    not_yet_known = {"MEGASCALE_COORDINATOR_ADDRESS": "first.invalid:8081"}
    command = [sys.executable, "-c", ON_TPU, json.dumps([vm, gke, slices, not_yet_known])]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | metadata, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "localhost 8482 3 2 None",
        "localhost 8482 4 1 None",
        "localhost 8482 8 5 None",
        "first.invalid 8482 8 5 None",
    ]
