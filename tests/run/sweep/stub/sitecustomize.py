"""Stands in for training and evaluation where this folder is on PYTHONPATH.

Python imports a module of this name before anything else; it looks at the command line, and does
what a test needs of `msbreg_tf.train` or an evaluation: files, time, failures, a reaction to
SIGTERM. All other commands go on as usual.

    STUB_SECONDS   how long a training takes
    STUB_FAIL      a training whose folder has this in its name fails
"""

import json
import os
import re
import signal
import sys
import time

with open("/proc/self/cmdline", "rb") as file:
    _ARGUMENTS = file.read().decode().split("\0")[1:-1]


def _flag(name):
    found = [a.split("=", 1)[1] for a in _ARGUMENTS if a.startswith(f"--{name}=")]
    return found[-1] if found else None


def _append(path, text):
    with open(path, "a") as file:
        file.write(text)


def _train():
    folder = _flag("workdir")
    os.makedirs(folder, exist_ok=True)

    def stop(number, frame):
        _append(os.path.join(folder, "starts"), "saved\n")
        os._exit(42)

    signal.signal(signal.SIGTERM, stop)
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    _append(os.path.join(folder, "starts"), f"{os.getpid()} {cores} {threads} {gpus}\n")
    end = time.time() + float(os.environ.get("STUB_SECONDS", "0"))
    while time.time() < end:
        time.sleep(0.02)
    if os.environ.get("STUB_FAIL") and os.environ["STUB_FAIL"] in folder:
        print("error: step 3: loss = nan. Training stopped.")
        os._exit(1)
    os.makedirs(os.path.join(folder, "export", "7"), exist_ok=True)
    print("Exported.", flush=True)


def _evaluate(name):
    export, run = _flag("saved_model"), _flag("run_name")
    folder = os.path.dirname(os.path.dirname(export))
    seed = int(re.search(r"seed=(\d+)", run)[1])
    stamp = {"name": name, "dataset": _flag("dataset"), "k": _flag("k")}
    line = {"run": run, "metric": "top-1 %", "value": 50.0 + 2 * seed, "protocol": stamp}
    _append(os.path.join(folder, "results.jsonl"), json.dumps(line) + "\n")


if _ARGUMENTS[:2] == ["-m", "msbreg_tf.train"]:
    _train()
    os._exit(0)
elif _ARGUMENTS[:2] == ["-m", "msbreg_tf.commands.main"] and _ARGUMENTS[2] in ("knn", "linear"):
    _evaluate(_ARGUMENTS[2])
    sys.stdout.flush()
    os._exit(0)
sys.modules["matplotlib"] = None  # pictures have a test of their own, and take a second each
