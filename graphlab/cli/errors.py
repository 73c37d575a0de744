"""What a command does when something is wrong: one clear message, never a bare stack trace."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from typing import ParamSpec

import typer
from rich.markup import escape

from graphlab.cli.console import stderr

SHOW_TRACEBACK = "GRAPHLAB_TRACEBACK"
"""With this set in the environment to anything but 0, exceptions go through with their traceback."""

Parameters = ParamSpec("Parameters")


class CommandError(Exception):
    """What the person at the terminal asked for cannot be done; the message says why."""


def explained(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """``command``, ending with exit code 1 and a message on stderr where it would raise."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except typer.Exit:
            raise
        except Exception as error:
            if os.environ.get(SHOW_TRACEBACK, "0") != "0" or _is_closed_pipe(error):
                raise
            if type(error).__module__.startswith("graphlab.") or isinstance(error, ImportError):
                stderr().print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
            else:
                message = f"{type(error).__name__}: {error}"
                stderr().print(f"[bold red]unexpected error:[/] {escape(message)}", soft_wrap=True)
                stderr().print(f"Set {SHOW_TRACEBACK}=1 to see where it comes from.", style="dim")
            raise typer.Exit(1) from None

    return run


def _is_closed_pipe(error: Exception) -> bool:
    """The reader of our output (``| head``) has gone: that is for typer to end quietly."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE
