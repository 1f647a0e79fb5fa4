"""A command line: flags made of settings, a readable --help, and errors of one line.

Every entry point is a `Command`: the settings that it takes and the function that gets them. Flags
live in an object of their own, so that importing a module defines none.
"""

import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from absl import flags, logging

from msbreg_tf.errors import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_PREEMPTED,
    EXIT_RUN_FAILED,
    PreemptedError,
    RunFailedError,
)
from msbreg_tf.settings import (
    Settings,
    described,
    flagged,
    from_flags,
    is_bool,
    parse,
    written,
)

_ROOTS = tuple(
    os.path.join(
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), name, ""
    )
    for name in ("msbreg_tf", "tools")
)
_ONLY_CHECK = "only_check_args"


class Command(NamedTuple):
    """One command line.

    Attributes:
      settings: dataclasses whose fields are its flags, in the order of `--help`; no two fields have
        the same flag.
      run: called with an instance of each. It imports what is slow, above all TensorFlow, in its
        body, so that `--help` and wrong flags do not wait for it.
      defaults: {flag name: value} where a default differs from the declared one.
    """

    settings: tuple[type[Settings], ...]
    run: Callable[..., None]
    defaults: Mapping[str, Any] = {}


def run(command: Command, docstring: Optional[str], argv: Optional[Sequence[str]] = None) -> None:
    """Runs a command: reads the flags, answers --help, turns known errors into one line.

    Args:
      command: what to run.
      docstring: of the entry point, shown by --help.
      argv: program and flags; by default this process's.

    Exit codes: 0 done, 1 the run failed, 2 bad input, 42 stopped by a signal after saving, 130
    interrupted before there was anything to save.
    """
    argv = list(sys.argv if argv is None else argv)
    if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
        _print_help(help_text(command, docstring or ""))
        return
    # absl's logging looks at absl's own flags, of which this command line has none.
    flags.FLAGS(argv[:1])
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)  # TensorFlow's notes on saving are no news
    guarded(lambda: _run(command, argv), flag_names(command))()


def _print_help(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `--help | head` has read enough, and Python writes again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(command: Command, argv: list[str]) -> None:
    settings, only_check = read_flags(command, argv)
    if not only_check:
        command.run(*settings)


def read_flags(command: Command, argv: Sequence[str]) -> tuple[list[Settings], bool]:
    """The settings that a command line gives, and whether it only wants them checked.

    Raises:
      ValueError: an unknown flag, or a value that breaks a rule; names flag, value and rule.
    """
    values = _flag_values(command)
    try:
        rest = values(argv)
    except flags.CantOpenFlagFileError as error:
        file = str(error).rpartition(": ")[2].strip("'")
        raise ValueError(f"--flagfile={file}: it can't be read. Correct the path.") from None
    except (flags.Error, OSError) as error:
        raise ValueError(str(error).removeprefix("flag ")) from None
    if len(rest) > 1:
        raise ValueError(f"unexpected argument '{rest[1]}': flags look like --name=value.")
    given = {name: values[name].value for name in flag_names(command)}
    return [from_flags(part, given) for part in command.settings], values[_ONLY_CHECK].value


def flag_names(command: Command) -> list[str]:
    """The names of a command's own flags."""
    return [name for part in command.settings for name, _ in flagged(part)]


class _Parser(flags.ArgumentParser):
    """Reads a flag's text as its setting says."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def parse(self, argument):
        return parse(self.field, argument) if isinstance(argument, str) else argument


def _flag_values(command: Command) -> flags.FlagValues:
    values = flags.FlagValues()
    for part in command.settings:
        for name, field in flagged(part):
            default = command.defaults.get(name, field.default)
            if is_bool(field):  # so that --name and --noname work, too
                flag = flags.BooleanFlag(name, default, described(field))
                flag.parser = _Parser(field)
            else:
                flag = flags.Flag(_Parser(field), None, name, default, described(field))
            flags.DEFINE_flag(flag, values)
    text = "Checks the flags and ends."
    flags.DEFINE_bool(_ONLY_CHECK, False, text, flag_values=values)
    return values


def guarded(main: Callable[[], None], names: Sequence[str] = ()) -> Callable[[], None]:
    """Returns `main`, with known errors turned into one line and an exit code.

    Args:
      main: what to run.
      names: flags that messages are about: library code says `stem=x`, a person typed `--stem=x`.
    """

    def run_guarded():
        try:
            main()
        except ValueError as error:
            if not _is_ours(error):  # a bug, here or below: its traceback is worth more
                raise
            _fail(_with_dashes(str(error), names), EXIT_BAD_INPUT)
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


def _with_dashes(message: str, names: Sequence[str]) -> str:
    known = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![\w\-])({known})=", r"--\1=", message) if known else message


def _fail(error, code: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


def help_text(command: Command, docstring: str) -> str:
    """What --help prints: the docstring, then every flag with default and meaning."""
    lines = [docstring.strip(), ""]
    for part in command.settings:
        lines += [part.__doc__.strip(), ""]
        for name, field in flagged(part):
            default = command.defaults.get(name, field.default)
            shown = "" if default is None else f" (default: {written(default)})"
            body = textwrap.wrap(
                described(field), 90, initial_indent="      ", subsequent_indent="      "
            )
            lines += [f"  --{name}{shown}", *body, ""]
    lines.append("--flagfile=PATH reads flags from a file; flags after it override the file's.")
    return "\n".join(lines)
