"""What a person is told: errors that end a run, each one plain line, and notes that end nothing.

Bad input is a `ValueError` raised before the first step. These are for what happens later.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

EXIT_BAD_INPUT = 2
EXIT_RUN_FAILED = 1
EXIT_PREEMPTED = 42
EXIT_INTERRUPTED = 130

_NAMED = 20  # names in a note
# Tools whose subcommand of `msbreg` has another name.
SUBCOMMANDS_OF_TOOLS = {
    "preview_views": "views",
    "knn_eval": "knn",
    "linear_eval": "linear",
    "svm_eval": "svm",
    "data_service": "data-service",
}
# In a checkout tools/ lies beside the package, when installed inside of it.
_IS_INSTALLED = os.path.isdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tools"))


class RunFailedError(RuntimeError):
    """The run can't go on: a non-finite loss, a full disk, a folder in use."""


class NoLabelsError(ValueError):
    """Bad input: images without labels where labels are needed."""


class PreemptedError(RuntimeError):
    """The run was asked to stop (SIGTERM, SIGINT), has saved its state, and can be continued."""


def as_typed(text: str, installed: bool = _IS_INSTALLED) -> str:
    """The commands in a text, as its reader has to type them.

    `python -m tools.x` and `flags/` are there in a checkout only, and `msbreg` and the package's
    name, which pip does not find anywhere else, where it is installed only.
    """
    if not installed:
        return re.sub(r"'msbreg-tf(\[[\w,]+\])'", r"'.\1'", text)
    text = re.sub(r"python -m (?:tools|msbreg_tf)\.(\w+)", _subcommand, text)
    text = re.sub(r"--flagfile=flags/(?:eval/|tables/)?(\w+)\.cfg", r"--recipe=\1", text)
    return re.sub(r"'\.(\[[\w,]+\])'", r"'msbreg-tf\1'", text)


def _subcommand(match: re.Match) -> str:
    return f"msbreg {SUBCOMMANDS_OF_TOOLS.get(match[1], match[1])}"


def root_cause(error: BaseException) -> str:
    """What began a chain of errors, on one line: a full disk rather than what it led to."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    speaking = [each for each in chain if isinstance(each, OSError) or "No space" in str(each)]
    return one_line((speaking or chain)[-1])


def one_line(error: BaseException, limit: int = 240) -> str:
    """What an error says, on one line of at most `limit` characters, or its type.

    Long ones lose their middle: TensorFlow writes a path first and what is wrong with it last.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def differences(there: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """'name: 1 there, 2 now' of every name whose values differ; what is missing is None."""
    return [
        f"{prefix}{name}: {there.get(name)} there, {now.get(name)} now"
        for name in sorted(there.keys() | now.keys())
        if there.get(name) != now.get(name)
    ]


def first_of(texts: Sequence[str], count: int) -> str:
    """The first texts in one line, and how many more there are."""
    more = [f"and {len(texts) - count} more"] if len(texts) > count else []
    return "; ".join([*texts[:count], *more])


def note(text: str) -> None:
    """Says something that ends nothing; a progress bar stays whole."""
    from tqdm import tqdm  # late: it takes longer than all the rest here

    tqdm.write(f"note: {as_typed(text)}", file=sys.stderr)
    sys.stderr.flush()


def note_broken(what: str, names: Sequence[str], total: int, done: str = "left out") -> None:
    """Names the images that could not be read, the first of many.

    Args:
      what: which images: "folder train".
      names: of the broken ones; without any, nothing is said.
      total: how many images there are, the broken ones included.
      done: what became of them.
    """
    if not names:
        return
    more = [f"… and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
    head = f"{what}: {len(names)} of {total:,} images can't be read and were {done}:"
    note("\n  ".join([head, *names[:_NAMED], *more]))
