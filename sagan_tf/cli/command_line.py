"""Command-line program of a module: it parses flags, runs and reports errors.

A command is written as follows:

    def run(argv: Sequence[str] | None = None) -> int:
        return run_command_line("sagan_tf.train", __doc__, main, Config, argv=argv)
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from sagan_tf.cli.console import run_command
from sagan_tf.cli.flags import FlagError, Flags
from sagan_tf.errors import CommandEndedError, UserError
from sagan_tf.text import make_printable, make_single_line

_HELP_FLAGS = ("--help", "-help", "-h")
_MAX_MESSAGE_LENGTH = 4000
_MAX_ACTION_LENGTH = 100
_DEBUG_VARIABLE = "SAGAN_TF_DEBUG"
"""Environment variable; if it is not empty, the traceback of an error of the operating system is printed."""


def run_command_line(
    program: str,
    summary: str | None,
    main: Callable[..., None],
    *option_classes: type,
    argv: Sequence[str] | None = None,
    prints_result: bool = False,
    passes_flagfiles: bool = False,
    restart: bool | None = None,
) -> int:
    """Parse the flags of a command, run it and report user errors.

    An error of the user or of the operating system is reported in one line on standard error.

    Args:
        program: The name of the module, as in `python -m <program>`, or the path of a script and the arguments that it
            takes before its flags.
        summary: The description of the command that `--help` shows: the docstring of its module.
        main: The command. It is called with one object for each of `option_classes`.
        *option_classes: The dataclasses that the flags are made from; see `Flags`.
        argv: The flags; None: the arguments of the process.
        prints_result: Whether standard output is the result of the command; see `console.run_command`.
        passes_flagfiles: Whether `main` also receives `Flags.flagfiles`, after the objects.
        restart: Whether the process may restart in UTF-8 mode; see `console.run_command`. None: if `argv` is None.

    Returns:
        The exit status: 0; 1 if the result could not be written to standard output; 2 for an error of the user or of
        the operating system; the status of a `CommandEndedError`, such as 1 if a check of the command failed, 75 if
        another worker was lost, or 128 + number for a signal; 130 if interrupted from the keyboard.
    """
    arguments = sys.argv[1:] if argv is None else argv
    is_help = any(argument in _HELP_FLAGS for argument in arguments)

    def run() -> None:
        flags = Flags(*option_classes)
        if is_help:
            sys.stdout.write(f"{_format_usage(program)}\n\n{(summary or '').strip()}\n\n{flags.format_help()}")
            return
        objects = flags.parse(arguments)
        main(*objects, *([flags.flagfiles] if passes_flagfiles else []))

    return run_command(
        program,
        lambda: _report_errors(program, run),
        prints_result=prints_result or is_help,
        restart=argv is None if restart is None else restart,
    )


def report_unknown_action(
    program: str, summary: str | None, actions: Mapping[str, str], argument: str, usage: str = "NAME"
) -> int:
    """Print the actions of a command, as help or as an error.

    Args:
        program: The path of a script whose first argument is the name of an action.
        summary: The description of the script that `--help` shows: its docstring.
        actions: The description of each action, by name.
        argument: The first argument of the command; empty if it was called without arguments.
        usage: The arguments of the script before its flags.

    Returns:
        The exit status: 0 for help, otherwise 2.
    """
    if argument in _HELP_FLAGS:
        width = max(map(len, actions))
        table = "".join(f"  {name.ljust(width)}  {description}\n" for name, description in actions.items())
        sys.stdout.write(f"usage: python {program} {usage} [--name=value ...]\n\n{(summary or '').strip()}\n\n{table}")
        return 0
    received = repr(make_single_line(argument)[:_MAX_ACTION_LENGTH]) if argument else "none"
    sys.stderr.write(f"usage: python {program} {usage} [--name=value ...]; --help describes each NAME\n")
    sys.stderr.write(f"{program}: error: expected NAME, one of {', '.join(actions)}, received {received}\n")
    return 2


def _report_errors(program: str, run: Callable[[], None]) -> int:
    """Run a function, report how it ends on standard error, and return the exit status."""
    try:
        run()
    except (UserError, OSError) as error:
        if isinstance(error, FlagError):
            sys.stderr.write(f"{_format_usage(program)}; --help shows every flag\n")
        advice = _explain_system_error(error) if isinstance(error, OSError) else ""
        sys.stderr.write(f"{program}: error: {_format_error(error)}{advice}\n")
        return 2
    except CommandEndedError as ended:
        sys.stderr.write(f"{program}: {ended}\n")
        return ended.status
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
        return 130
    return 0


def _explain_system_error(error: OSError) -> str:
    """Return what the user can do about an error of the operating system; on request, print where it was raised."""
    if os.environ.get(_DEBUG_VARIABLE):
        lines = "".join(traceback.format_exception(error)).splitlines()
        sys.stderr.writelines(f"{make_printable(line)}\n" for line in lines)
    cause = "the path, its permissions and the free space" if error.filename else "the free space and the network"
    return f"; check {cause}, or set {_DEBUG_VARIABLE}=1 to see where the error occurred"


def _format_usage(program: str) -> str:
    script = program if program.split()[0].endswith(".py") else f"-m {program}"
    return f"usage: python {script} [--flagfile=FILE] [--name=value ...]"


def _format_error(error: Exception) -> str:
    """Return the message of an error in one line, without its middle if it is too long.

    A message is usually long because of one word, and its reason comes after that word.
    """
    line = make_single_line(str(error) or repr(error))
    half = _MAX_MESSAGE_LENGTH // 2
    return line if len(line) <= _MAX_MESSAGE_LENGTH else f"{line[:half]} ... {line[-half:]}"
