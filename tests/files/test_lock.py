import os
import signal
import subprocess
import sys
import time

import pytest

from msbreg_tf.errors import RunFailedError
from msbreg_tf.files.lock import Lock, optional_folder

HOLD = """
import sys, time
from msbreg_tf.files.lock import Lock
lock = Lock(sys.argv[1], "theirs")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(tmp_path):
    """Starts another process that holds the folder for some seconds."""
    started = []

    def start(seconds):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_second_is_told_who_has_it(tmp_path, holder):
    process = holder(60)
    with pytest.raises(RunFailedError, match=rf"--output=x: process {process.pid} on .* there"):
        Lock(str(tmp_path), "--output=x")
    process.send_signal(signal.SIGKILL)  # the lock ends with the process
    process.wait()
    Lock(str(tmp_path), "--output=x").close()


def test_the_second_waits_and_says_for_whom(tmp_path, holder, capsys):
    process = holder(1.5)
    start = time.monotonic()
    Lock(str(tmp_path), "--cache_dir=x", wait=True).remove()
    assert time.monotonic() - start > 0.5
    said = capsys.readouterr().err
    assert said.startswith(f"note: --cache_dir=x: waiting for process {process.pid} on ")
    assert said.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_can_not_be_used_is_done_without(tmp_path, capsys):
    (tmp_path / "file").touch()
    with optional_folder(str(tmp_path / "file" / "cache"), "--cache_dir=x") as folder:
        assert folder is None
    assert "--cache_dir=x: can't be used (Not a directory); going on" in capsys.readouterr().err
    with optional_folder(str(tmp_path / "new"), "--cache_dir=x") as folder:
        assert os.path.isdir(folder)
    with optional_folder(None, "") as folder:
        assert folder is None
