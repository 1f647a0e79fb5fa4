"""A command line: flags made of settings, a readable --help, and errors of one line.

Every entry point is a `Command`: the settings that it takes and the function that gets them. Flags
live in an object of their own, so that importing a module defines none.
"""

import dis
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from absl import flags, logging

from msbreg_tf.commands import recipes, terminal
from msbreg_tf.errors import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_PREEMPTED,
    EXIT_RUN_FAILED,
    PreemptedError,
    RunFailedError,
    as_typed,
    root_cause,
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
    for name in ("msbreg_tf", "tools", "detection", "benchmarks")
)
_ONLY_CHECK = "only_check_args"
_MACHINE_ERRORS = (
    *("ResourceExhaustedError", "NotFoundError", "PermissionDeniedError", "DataLossError"),
    *("UnavailableError", "FailedPreconditionError"),
)


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
    terminal.prepare()
    argv = list(sys.argv if argv is None else argv)
    if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
        print(help_text(command, docstring or ""))
        return
    # absl's logging looks at absl's own flags, of which this command line has none.
    flags.FLAGS(argv[:1])
    logging.use_absl_handler()
    logging.set_verbosity(logging.ERROR)  # TensorFlow's notes on saving are no news
    guarded(lambda: _run(command, argv), flag_names(command))()


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
        rest = values([_with_recipe(argument) for argument in argv])
    except flags.CantOpenFlagFileError as error:
        file = str(error).rpartition(": ")[2].strip("'")
        raise ValueError(f"--flagfile={file}: it can't be read. Correct the path.") from None
    except (flags.Error, OSError) as error:
        raise ValueError(str(error).removeprefix("flag ")) from None
    if len(rest) > 1:
        raise ValueError(f"unexpected argument '{rest[1]}': flags look like --name=value.")
    given = {name: values[name].value for name in flag_names(command)}
    return [from_flags(part, given) for part in command.settings], values[_ONLY_CHECK].value


def _with_recipe(argument: str) -> str:
    """`--recipe=NAME` as the `--flagfile` that it stands for."""
    flag, equals, recipe = argument.partition("=")
    is_recipe = flag in ("--recipe", "-recipe") and equals
    return f"--flagfile={recipes.path_of(recipe)}" if is_recipe else argument


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
        except Exception as error:
            if not (reason := _of_the_machine(error)):
                raise
            _fail(reason, EXIT_RUN_FAILED)

    return run_guarded


def _is_ours(error: ValueError) -> bool:
    """Whether a `raise` of our own code raised it, as for bad input, in one line.

    C code that our code calls leaves the same last frame; there the call is the last instruction.
    """
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    code = last.tb_frame.f_code
    is_raise = code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    ours = os.path.abspath(code.co_filename).startswith(_ROOTS)
    return ours and is_raise and "\n" not in str(error)


def _of_the_machine(error: Exception) -> Optional[str]:
    """What a disk, a file or memory did, in one line; None if it is a bug."""
    kind = type(error)
    by_tensorflow = kind.__module__.startswith("tensorflow") and kind.__name__ in _MACHINE_ERRORS
    is_full = "No space left on device" in f"{error} {error.__cause__} {error.__context__}"
    if not (isinstance(error, OSError) or by_tensorflow or is_full):
        return None
    reason = root_cause(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        reason = f"{os.fsdecode(error.filename)}: {error.strerror}"
    remedy = "Make room there" if is_full else "Mend that"
    return f"{reason.rstrip('.')}. {remedy}, and start the same command again."


def _with_dashes(message: str, names: Sequence[str]) -> str:
    known = "|".join(map(re.escape, names))
    # Not in a path, a quotation or a value: points of a sweep have names such as lambda_s=0-seed=0.
    return re.sub(rf"(?<![\w\-/'=])({known})=", r"--\1=", message) if known else message


def _fail(error, code: int) -> None:
    print(f"error: {as_typed(str(error))}", file=sys.stderr)
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
    lines += [
        "--recipe=NAME reads the flags of a shipped recipe; flags after it override them.",
        "--flagfile=PATH does so with any file.",
    ]
    return as_typed("\n".join(lines))
