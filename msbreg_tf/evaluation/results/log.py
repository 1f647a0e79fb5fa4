"""`results.jsonl`: measured values, each with the protocol it was measured by.

Two values may be compared if metric and protocol are equal. So `protocol` holds what was decided
before (a grid), and `details` what came out (the point of the grid that was chosen).
"""

import datetime
import fcntl
import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any, Optional, Union

import msbreg_tf
from msbreg_tf.errors import RunFailedError

if TYPE_CHECKING:
    from msbreg_tf.evaluation.features.exported import ExportedEncoder

_CHUNK = 1 << 16
_MODULES = ("tensorflow", "numpy", "sklearn", "torch", "torchvision", "detectron2")


def append_result(
    path: str,
    *,
    metric: str,
    value: float,
    protocol: Mapping[str, Any],
    encoder: Optional["ExportedEncoder"],
    run: Optional[str] = None,
    details: Optional[Mapping[str, Any]] = None,
) -> dict[str, Any]:
    """Adds one line to a results file, which is made if there is none.

    Args:
      path: of the file.
      metric: what was measured, with its unit: "top-1 %".
      value: of the metric; one that is not finite is recorded as null.
      protocol: all that decides how it was measured: name, network, features, data set, splits
        and their fingerprints, and the protocol's own settings. Plain JSON values.
      encoder: whose features; None for a baseline without one, such as raw pixels.
      run: name of the row in tables; by default made from the encoder's path.
      details: what else was found: chosen hyperparameters, a spectrum. Plain JSON values.

    Returns:
      The line, as `read_results` will give it.

    Raises:
      RunFailedError: the file can't be written.
      ValueError: `protocol` has no "name", or no run name is known.
    """
    if "name" not in protocol:
        raise ValueError(
            f"a protocol needs a name; it has only {', '.join(protocol) or 'nothing'}."
        )
    if encoder is None and not run:
        raise ValueError("a result without an encoder needs the name of its run.")
    value = float(value)
    line = {
        "run": run or run_name(encoder.path),
        "metric": metric,
        "value": value if math.isfinite(value) else None,
        "protocol": dict(protocol),
        "details": dict(details or {}),
        "export": None if encoder is None else _export(encoder),
        "versions": versions(),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    try:
        _append_line(os.path.expanduser(path), text)
    except OSError as error:
        raise RunFailedError(
            f"--results={path}: can't be written ({error.strerror}), so what was measured is not "
            "recorded there. Choose another file."
        ) from error
    return json.loads(text)


def read_results(path: str) -> list[dict[str, Any]]:
    """All lines of a results file, oldest first; a last line that was cut off is left out.

    Raises:
      ValueError: no such file, or a line that is no result.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise ValueError(f"{path}: no such file. Give a results.jsonl, or a run's folder.")
    results = []
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if text.strip() and (text.endswith("\n") or _is_json(text)):
                results.append(_parsed(text, f"{path}, line {number}"))
    return results


def run_name(export_path: str) -> str:
    """`runs/first/export/240` → "first@240"; another folder → its name."""
    folder, step = os.path.split(os.path.abspath(export_path))
    run, export = os.path.split(folder)
    return f"{os.path.basename(run)}@{step}" if export == "export" else step


def default_results_path(export_path: str) -> str:
    """results.jsonl in the run's folder, or in the current one if the export is in no run."""
    folder = os.path.dirname(os.path.abspath(os.path.expanduser(export_path)))
    run, export = os.path.split(folder)
    return os.path.join(run if export == "export" else "", "results.jsonl")


def versions() -> dict[str, str]:
    """Versions of what computes the numbers, as far as it is imported."""
    found = {"msbreg_tf": msbreg_tf.__version__, "python": platform.python_version()}
    for name in _MODULES:
        if name in sys.modules:
            found[name] = sys.modules[name].__version__
    return found


def _export(encoder: "ExportedEncoder") -> dict[str, Any]:
    recipe = encoder.metadata.get("recipe", {})
    return {
        "path": encoder.path,
        "fingerprint": encoder.fingerprint,
        "feature_size": encoder.feature_size,
        "step": encoder.metadata.get("step"),
        "recipe": recipe,
    }


def _append_line(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        last = _last_line(file)
        if last and not last.endswith(b"\n"):
            if _is_json(last):
                text = "\n" + text
            else:  # cut off by a crash
                file.truncate(file.seek(0, os.SEEK_END) - len(last))
        # A file name need not be UTF-8; escaped like this it is JSON too.
        file.write(text.encode("utf-8", "backslashreplace") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_line(file: IO[bytes]) -> bytes:
    """The last line of an open file, with its line break if it has one; reads from the end."""
    end, tail = file.seek(0, os.SEEK_END), b""
    while end and b"\n" not in tail[:-1]:
        start = max(0, end - _CHUNK)
        file.seek(start)
        tail, end = file.read(end - start) + tail, start
    return tail[tail[:-1].rfind(b"\n") + 1 :]


def _is_json(text: Union[str, bytes]) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
        known = {"run", "metric", "value", "protocol"} <= line.keys() and line["protocol"]["name"]
    except (ValueError, AttributeError, KeyError, TypeError):
        known = False
    if not known:
        raise ValueError(f"{where}: not a result of these tools. Remove the line.")
    return line
