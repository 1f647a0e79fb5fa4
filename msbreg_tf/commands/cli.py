"""absl flags made one to one from `config.py`, a readable --help, and one-line errors."""

import dataclasses
import os
import sys
import textwrap
import traceback
import typing
from collections.abc import Callable

from absl import app, flags, logging

from msbreg_tf.errors import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_PREEMPTED,
    EXIT_RUN_FAILED,
    PreemptedError,
    RunFailedError,
)
from msbreg_tf.run.config import Config, config_from_settings

FLAGS = flags.FLAGS
_ROOTS = tuple(
    os.path.join(
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), name, ""
    )
    for name in ("msbreg_tf", "tools")
)


def define_flags() -> None:
    """Defines one flag per setting; a second call changes nothing."""
    define = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
    }
    for _, part in _groups():
        for field in dataclasses.fields(part):
            if field.name not in FLAGS:
                define[_plain_type(field)](field.name, field.default, field.metadata["help"])


def config_from_flags() -> Config:
    """The `Config` of the parsed flags; ValueError names the flag that is wrong."""
    defined = {field.name for _, part in _groups() for field in dataclasses.fields(part)}
    return config_from_settings({name: FLAGS[name].value for name in defined})


def run(
    main: Callable[[list[str]], None],
    own_flags: tuple[str, ...] = (),
    training_flags: bool = True,
) -> None:
    """Runs an entry point: parses the flags, answers --help, turns known errors into one line.

    Args:
      main: called with the arguments that are not flags.
      own_flags: names of flags the entry point defines itself, shown first in --help.
      training_flags: whether it takes the settings of `config.py` too.

    Exit codes: 0 done, 1 the run failed, 2 bad input, 42 stopped by a signal after saving, 130
    interrupted before there was anything to save.
    """

    def parse(argv):
        if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
            print(_help(sys.modules["__main__"].__doc__ or "", own_flags, training_flags))
            sys.exit(0)
        try:
            rest = FLAGS(argv)
        except (flags.Error, OSError) as error:
            _fail(error, EXIT_BAD_INPUT)
        if len(rest) > 1:
            _fail(f"unexpected argument '{rest[1]}': flags look like --name=value.", EXIT_BAD_INPUT)
        return rest

    app.run(guarded(main), flags_parser=parse)


def guarded(main: Callable[[list[str]], None]) -> Callable[[list[str]], None]:
    """Returns `main`, with known errors turned into one line and an exit code."""

    def run_guarded(argv):
        logging.set_verbosity(logging.WARNING)  # TensorFlow's notes on saving are no news
        try:
            main(argv)
        except ValueError as error:
            if not _is_ours(error):  # a bug, here or below: its traceback is worth more
                raise
            _fail(error, EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            _fail("interrupted; start the same command again.", EXIT_INTERRUPTED)
        except RunFailedError as error:
            _fail(error, EXIT_RUN_FAILED)
        except PreemptedError as error:
            print(error, file=sys.stderr)
            sys.exit(EXIT_PREEMPTED)

    return run_guarded


def _is_ours(error: ValueError) -> bool:
    """Whether our own code raised it, as it does for bad input, in one line."""
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return os.path.abspath(raised_in).startswith(_ROOTS) and "\n" not in str(error)


def _fail(error, code: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


def _groups():
    return [(part.name, part.type) for part in dataclasses.fields(Config)]


def _plain_type(field: dataclasses.Field) -> type:
    """str, int, float or bool; Optional[x] is x."""
    arguments = [a for a in typing.get_args(field.type) if a is not type(None)]
    return arguments[0] if arguments else field.type


def _help(docstring: str, own_flags: tuple[str, ...], training_flags: bool) -> str:
    lines = [docstring.strip(), ""]
    if own_flags:
        lines += ["This command", ""]
        for name in own_flags:
            lines += _flag_help(name, FLAGS[name].default, FLAGS[name].help)
    for _, part in _groups() if training_flags else ():
        lines += [part.__doc__.strip(), ""]
        for field in dataclasses.fields(part):
            text = field.metadata["help"]
            if field.metadata["choices"]:
                text += f" One of: {', '.join(field.metadata['choices'])}."
            lines += _flag_help(field.name, field.default, text)
    lines.append("--flagfile=PATH reads flags from a file; flags after it override the file's.")
    return "\n".join(lines)


def _flag_help(name: str, default, text: str) -> list[str]:
    shown = "" if default is None else f" (default: {default})"
    body = textwrap.wrap(text, 90, initial_indent="      ", subsequent_indent="      ")
    return [f"  --{name}{shown}", *body, ""]
