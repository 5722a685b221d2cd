"""A bucket server for tests: gcp-storage-emulator in a process of its own, in memory.

with running() as environ: ...    # what gcsfs must find in the environment to ask it

python tests/bucket_emulator.py PORT starts it in the foreground.
"""

import contextlib
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from http import HTTPStatus

BUCKET = "bucket"
READ_ONLY = "read-only"  # Refuses writes, as to one who may only read.
PRIVATE = "private"  # Knows nobody, as to one without credentials.


def serve(port):
    """Serves for ever."""
    from gcp_storage_emulator import server

    def guarded(handler):
        """What the emulator lacks: conditions on generations, refusals, and empty uploads."""

        def handle(request, response, storage, *args, **kwargs):
            bucket, writes = request.params.get("bucket_name"), request.method != "GET"
            if bucket == PRIVATE or (bucket == READ_ONLY and writes):
                status, words = (401, "Anonymous caller") if bucket == PRIVATE else (403, "Caller")
                response.status = HTTPStatus(status)
                message = f"{words} does not have storage.objects access to the bucket."
                response.json({"error": {"code": status, "message": message}})
                return
            if wanted := request.query.get("ifGenerationMatch"):
                name = request.params.get("object_id") or request.query["name"][0]
                try:
                    there = storage.get_file_obj(bucket, name)["generation"]
                except Exception:
                    there = "0"
                if there != wanted[0]:
                    response.status = HTTPStatus.PRECONDITION_FAILED
                    response.json({"error": {"code": 412, "message": "conditionNotMet"}})
                    return
            if request.query.get("uploadType") == ["media"] and request.data is None:
                request._data = b""
            handler(request, response, storage, *args, **kwargs)

        return handle

    server.HANDLERS = tuple(
        (path, {method: guarded(handler) for method, handler in handlers.items()})
        for path, handlers in server.HANDLERS
    )
    # Of more than 5 connections at once the others would be tried again after a second.
    socketserver.TCPServer.request_queue_size = 128
    made = server.create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    for name in (READ_ONLY, PRIVATE):
        server.buckets.create_bucket(name, made._storage)
    made.start()  # It answers one request after the other.
    threading.Event().wait()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def running():
    """Starts the emulator, gives the variables that lead gcsfs to it, and stops it."""
    port = free_port()
    server = subprocess.Popen([sys.executable, __file__, str(port)], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(address):
                break
            assert server.poll() is None, "the emulator ended"
            time.sleep(0.1)
        yield {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true"}
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
