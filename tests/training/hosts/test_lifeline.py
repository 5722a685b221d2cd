"""Processes that come together, are silent, die or leave. None of them loads JAX."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from refvae_jax.errors import OthersMissing
from refvae_jax.training.hosts import relay
from refvae_jax.training.hosts.roster import Hello, clash, difference, missing
from tests.conftest import ROOT

LOST = OthersMissing.status


@pytest.fixture
def member():
    """member(index, **how) -> Popen of `lifeline_member`; its output is one stream."""
    port, started = relay.free_port(), []

    def start(
        index, port=port, seconds=0.0, status=0, about="0", start=60.0, saving=0.0, host="127.0.0.1"
    ):
        words = map(str, (index, port, seconds, status, about, start, saving, host))
        command = [sys.executable, "-m", "tests.training.hosts.lifeline_member", *words]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def next_line(process, words):
    """Its next line that begins with these words; on a busy machine there are others before."""
    return next(line for line in process.stdout if line.startswith(words))


def pair(member, **arguments):
    """Two processes that have joined."""
    both = member(0, **arguments), member(1, **arguments)
    run_ids = {next_line(process, "joined") for process in both}
    assert len(run_ids) == 1
    for process in both:
        assert next_line(process, "[") == "[[0, 'given'], [1, 'given']]\n"
    return both


def end(process):
    """(exit status, the rest of its output)."""
    output = process.communicate(timeout=120)[0]
    assert "Traceback" not in output
    return process.returncode, output


def test_all_leave_together(member):
    first, second = member(0, seconds=2), member(1)
    for process in (first, second):
        next_line(process, "[")
    time.sleep(0.5)
    assert second.poll() is None, "it waits for process 0, which evaluates"
    assert end(first)[0] == end(second)[0] == 0


@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_dies_ends_the_other_with_a_sentence(member, killed):
    both = pair(member, seconds=100)
    both[killed].kill()
    since = time.monotonic()
    status, output = end(both[1 - killed])
    assert status == LOST and time.monotonic() - since < 30
    died = rf"\nerror: process {killed} \(host .*, pid {both[killed].pid}\) died without a word"
    assert re.search(died, output) and "start the same command again" in output


def test_what_is_being_saved_is_saved_when_another_process_dies(member):
    first, second = pair(member, seconds=100, saving=3)
    second.kill()
    status, output = end(first)
    assert status == LOST and output.startswith("saved\n\nerror: process 1")


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_process_that_is_stopped_is_named_and_may_go_on(member, stopped):
    both = pair(member, seconds=4)
    both[stopped].send_signal(signal.SIGSTOP)
    named = next_line(both[1 - stopped], "warning")
    assert re.match(rf"warning: process {stopped} \(.*\) has not answered for", named)
    both[stopped].send_signal(signal.SIGCONT)
    (status, output), other = end(both[1 - stopped]), end(both[stopped])
    assert status == other[0] == 0 and "answers again" in output


def test_a_process_that_stays_silent_ends_the_other(member):
    first, second = pair(member, seconds=100)
    second.send_signal(signal.SIGSTOP)
    status, output = end(first)
    assert status == LOST and "has not answered for 6 s: start the same command" in output


@pytest.mark.parametrize("absent", [0, 1])
def test_a_process_that_never_starts_is_named(member, absent):
    process = member(1 - absent, start=2.5)
    named = next_line(process, "waiting")
    assert re.match(f"waiting for process {absent} .*: type `start {absent}`.", named)
    status, output = end(process)
    assert status == LOST and re.match(f"error: After . s .*process {absent} .*`start", output)


@pytest.fixture
def silent_port():
    """A port whose machine answers no packet that opens a connection: its queue of them is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_process_0_that_answers_no_packet_is_named(member, silent_port):
    status, output = end(member(1, port=silent_port, start=2.5))
    assert status == LOST
    assert f"waiting for process 0 at 127.0.0.1:{silent_port} (no answer): type" in output


def test_a_process_0_whose_name_nobody_knows_yet_is_named(member):
    status, output = end(member(1, host="first.invalid", start=2.5))
    assert status == LOST and output.count("process 0") == 2 and "at first.invalid:" in output


def test_processes_that_are_about_different_things_are_refused(member):
    for process in (member(0, about="1"), member(1, about="2")):
        status, output = end(process)
        assert status == 2
        assert "config.seed is '1' and '2'" in output and "Start the same command" in output


def test_an_error_of_one_ends_the_other(member):
    first, second = pair(member, seconds=0.5, status=2)
    assert end(first)[0] == end(second)[0] == 2


def test_an_error_of_process_0_ends_one_that_waits_for_it(member):
    first, second = member(0, seconds=1, status=2), member(1)
    status, output = end(second)
    assert status == 2 and "process 0" in output and "its output says why" in output
    assert end(first)[0] == 2


@pytest.mark.parametrize("asked", [0, 1])
def test_sigterm_outside_of_the_step_loop_ends_both(member, asked):
    both = pair(member, seconds=100)
    both[asked].send_signal(signal.SIGTERM)
    assert end(both[0])[0] == end(both[1])[0] == 0


def test_a_stranger_at_the_port_is_ignored(member):
    first = member(0)
    port = int(first.args[4])
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"[1, 2]\n", b"null\n"):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                with socket.create_connection(("127.0.0.1", port), timeout=60) as stranger:
                    stranger.sendall(words)
                    assert stranger.recv(100) == b""
                break
            time.sleep(0.05)
    assert end(member(1))[0] == end(first)[0] == 0


def test_a_process_that_comes_late_is_told_to_start_all_again(member):
    pair(member, seconds=100)
    status, output = end(member(1))
    assert status == LOST and "has set off without it: start all again" in output


def hello(index, num_processes=3, **about):
    return Hello(index, num_processes, f"host{index}", 100 + index, about)


def test_processes_that_clash():
    assert clash([hello(0), hello(1), hello(2)]) == ""
    assert "have the same process id" in clash([hello(0), hello(1), hello(1)])
    assert "was told of 3 processes" in clash([hello(0), hello(1, num_processes=2)])


def test_what_processes_differ_in():
    assert difference([hello(0, a=1, b=2), hello(1, a=1, b=2)]) == ""
    found = difference([hello(0, a=1, b=2), hello(1, a=1, b=2), hello(2, a=3, c=1)])
    assert "process 2 (host host2, pid 102)" in found and "process 1 " not in found
    assert "a is 1 and 3; b is 2 and None; c is None and 1" in found
    many = difference([hello(0), hello(1, **{f"f{n}": n for n in range(6)})])
    assert "f3 is None and 3; and 2 more." in many


def test_many_missing_processes_are_counted():
    named = missing([0, 5], 9, "start {}".format)
    assert named == "processes 1, 2, 3, 4 and 3 more of 9: start 1"
