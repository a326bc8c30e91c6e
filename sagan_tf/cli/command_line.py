"""Command-line program of a module: it parses flags, runs and reports errors.

A command is written as follows:

    def run(argv: Sequence[str] | None = None) -> int:
        return run_command_line("sagan_tf.train", __doc__, main, Config, argv=argv)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from sagan_tf.cli.console import run_command
from sagan_tf.cli.flags import FlagError, Flags
from sagan_tf.errors import RunEndedError, UserError
from sagan_tf.text import make_single_line

HELP_FLAGS = ("--help", "-help", "-h")
_MAX_MESSAGE_LENGTH = 4000


def run_command_line(
    program: str,
    summary: str | None,
    main: Callable[..., None],
    *option_classes: type,
    argv: Sequence[str] | None = None,
    check: Callable[..., None] | None = None,
    prints_result: bool = False,
    other_arguments: str = "",
    restart: bool | None = None,
) -> int:
    """Parse the flags of a command, run it and report user errors.

    An error of the user or of the operating system is reported in one line on standard error.

    Args:
        program: The name of the module, as in `python -m <program>`, or the path of a script and an
            argument that it takes before its flags.
        summary: The description of the command that `--help` shows: the docstring of its module.
        main: The command. It is called with one object for each of `option_classes`.
        *option_classes: The dataclasses that the flags are made from; see `Flags`.
        argv: The arguments without the name of the program; None for those of the process.
        check: A function that is called before `main`, with the same objects and `Flags.flagfiles`. It raises UserError
            to end the program.
        prints_result: Whether standard output is the result of the command; see `console.run_command`.
        other_arguments: The arguments besides the flags of `option_classes`, as the usage shows them. `main` then
            receives the list of these arguments after the objects. If empty, such arguments are errors.
        restart: Whether the process may restart in UTF-8 mode; see `console.run_command`. None: if `argv` is None.

    Returns:
        The exit status: 0; 1 if the result could not be written to standard output; 2 for an error of the user or of
        the operating system; 75 if another worker was lost; 130 if interrupted from the keyboard; 128 + number for
        another signal.
    """
    arguments = sys.argv[1:] if argv is None else argv
    is_help = any(argument in HELP_FLAGS for argument in arguments)
    usage = _format_usage(program, other_arguments)

    def run() -> None:
        flags = Flags(*option_classes)
        if is_help:
            sys.stdout.write(f"{usage}\n\n{(summary or '').strip()}\n\n{flags.format_help()}")
            return
        own, others = flags.split(arguments) if other_arguments else (arguments, [])
        objects = flags.parse(own)
        if check is not None:
            check(*objects, flags.flagfiles)
        main(*objects, *([others] if other_arguments else []))

    return run_command(
        program,
        lambda: _report_errors(program, usage, run),
        prints_result=prints_result or is_help,
        restart=argv is None if restart is None else restart,
    )


def _report_errors(program: str, usage: str, run: Callable[[], None]) -> int:
    """Run a function, report how it ends on standard error, and return the exit status."""
    try:
        run()
    except (UserError, OSError) as error:
        if isinstance(error, FlagError):
            sys.stderr.write(f"{usage}; --help shows every flag\n")
        sys.stderr.write(f"{program}: error: {_format_error(error)}\n")
        return 2
    except RunEndedError as ended:
        sys.stderr.write(f"{program}: {ended}\n")
        return ended.status
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
        return 130
    return 0


def _format_usage(program: str, other_arguments: str) -> str:
    script = program if program.split()[0].endswith(".py") else f"-m {program}"
    return " ".join(filter(None, ["usage: python", script, other_arguments, "[--flagfile=FILE] [--name=value ...]"]))


def _format_error(error: Exception) -> str:
    """Return the message of an error in one line, without its middle if it is too long.

    A message is usually long because of one word, and its reason comes after that word.
    """
    line = make_single_line(str(error) or repr(error))
    half = _MAX_MESSAGE_LENGTH // 2
    return line if len(line) <= _MAX_MESSAGE_LENGTH else f"{line[:half]} ... {line[-half:]}"
