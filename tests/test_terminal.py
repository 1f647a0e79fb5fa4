"""What is printed never ends a command, and what libraries print is left out."""

import os
import subprocess
import sys

PREPARED = "from msbreg_tf.commands import terminal; terminal.prepare(); import os, sys\n"


def run(code, **others):
    return subprocess.run(
        [sys.executable, "-c", PREPARED + code], capture_output=True, timeout=60, **others
    )


def test_what_the_terminal_can_not_show_is_escaped():
    code = "print('τ × é'); print('caf\\udce9.jpg'); print('τ', file=sys.stderr)"
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = run(code, env=latin)
    assert done.returncode == 0
    assert done.stdout == b"\\u03c4 \xd7 \xe9\ncaf\\udce9.jpg\n"
    assert done.stderr == b"\\u03c4\n"


def test_a_reader_that_leaves_does_not_end_the_command():
    code = (
        "import time\n"
        "for n in range(2000): print(n, 'x' * 80, flush=True)\n"
        "print('worked to the end', file=sys.stderr)"
    )
    shell = f'"{sys.executable}" -c "$CODE" | head -1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", shell], env={**os.environ, "CODE": PREPARED + code}, capture_output=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"0 x")
    assert done.stderr == b"worked to the end\n"


def test_notices_of_libraries_are_left_out_and_fatal_words_are_not():
    lines = [
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1795600954.588448   14491 device_compiler.h:186] Compiled cluster using XLA!",
        "W0000 00:00:1795600770.651118    7918 data_service_client.cc:450] Failed to heartbeat",
        "2026-11-25 09:30:19.475219: I tensorflow/core/util/port.cc:113] oneDNN",
        "Improper call to JPEG library in state 205",
        "Corrupt JPEG data: premature end of data segment",
        "libpng warning: iCCP: known incorrect sRGB profile",
        "F0000 00:00:1795600770.651118    7918 cpu.cc:1] Check failed: a == b",
        "a word of somebody else",
    ]
    code = f"for line in {lines!r}: os.write(2, (line + chr(10)).encode())\n"
    done = run(code + "print('ours', file=sys.stderr)\nos.abort()")
    assert done.returncode != 0
    said = done.stderr.decode().splitlines()
    assert sorted(said) == sorted([lines[-2], lines[-1], "ours"])


def test_streams_that_are_somebody_elses_are_left_alone(capsys):
    from msbreg_tf.commands import terminal

    before = sys.stdout, sys.stderr
    terminal.prepare()
    assert (sys.stdout, sys.stderr) == before
