"""Peak memory of a contender: python -m benchmarks.peak_memory MODULE SETTINGS PIECES.

Lets it do some pieces of work in this process and prints its largest resident size, in MiB: on
Linux since the end of the first piece, elsewhere since the start, so with tracing and compiling.
"""

import contextlib
import importlib
import json
import os
import resource
import sys

from benchmarks.turns import die_with_parent


def main():
    die_with_parent()
    module, settings, pieces = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    settings.pop("warm_up", None)
    done = 0

    def tick(count):
        nonlocal done
        done += 1
        if done == 1:
            forget_peak()
        if done == pieces:
            print(peak_mib(), flush=True)
            os._exit(0)

    importlib.import_module(module).run(settings, tick)


def forget_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_mib() -> float:
    # Linux's ru_maxrss begins with the size of the process that started this one.
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    main()
