"""What disks, devices and files do wrong during a run, as one line with its remedy."""

import contextlib
import traceback

import tensorflow as tf

from msbreg_tf.distributed.workers import Workers
from msbreg_tf.errors import RunFailedError
from msbreg_tf.files.workdir import Workdir


@contextlib.contextmanager
def readable_failures(workdir: Workdir, workers: Workers):
    """Turns such an error of the body into a RunFailedError; error.txt keeps its traceback."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if workers.explain(error):
            raise
        reason = next(
            line for line in reversed(str(error).splitlines()) if line and "[Op:" not in line
        )
        remedy = "Start the same command again; checkpoints are kept"
        if "No space left" in str(error):
            remedy = f"Free space in {workdir.path}, and start the same command again"
        elif isinstance(error, tf.errors.ResourceExhaustedError):
            remedy = (
                "Out of memory: lower --batch_size, --num_views or --image_size or add "
                "--mixed_precision, with a new --workdir"
            )
        details, path = "", workdir.file(workers.own_name("error.txt"))
        with contextlib.suppress(OSError), open(path, "w") as file:
            traceback.print_exc(file=file)
            details = f", details in {path}"
        raise RunFailedError(
            f"{reason.strip()} ({type(error).__name__}{details}). {remedy}."
        ) from error
