# SPDX-License-Identifier: MIT
"""The command ``sanr``: the group of its commands; does no work of its own.

Results go to stdout, progress and notes to stderr. Exit codes: 0 done, 1 bad data or a result that
lies elsewhere, 2 usage, 3 a fit that was ended early, 4 a target that was not reached; the file is
written in both.
"""

from __future__ import annotations

import errno
import sys
import warnings
from importlib import import_module
from typing import Any

import click

from sanrcodec import __version__
from sanrcodec.cli.messages import describe, harmless, note
from sanrcodec.errors import LargeFileWarning, SanrError

__all__ = ["main"]

# Each is the module of this package that has the command, under the name `command`. In the order
# of the help; only the module of the command that is called is imported.
_COMMANDS = (
    "encode", "inspect", "decode", "compare", "info", "verify", "conformance", "view", "export",
    "disparity", "refocus", "epi", "quilt", "stereo", "video",
)  # fmt: skip


class _Group(click.Group):
    """Finds the commands, and turns the errors of bad data into one line and exit code 1."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*args, **options)
        except OSError as error:  # of the help and the version, which no command prints
            if error.errno == errno.EPIPE:
                raise
            note(f"Error: cannot write to stdout: {describe(error)}")
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default", LargeFileWarning)
                warnings.showwarning = lambda message, *_, **__: note(f"Warning: {message}")
                return super().invoke(ctx)
        except (SanrError, OSError, MemoryError) as error:
            if ctx.params.get("debug") or getattr(error, "errno", None) == errno.EPIPE:
                raise
            note(f"Error: {describe(error)}")
            ctx.exit(1)
        except click.UsageError as error:
            lines = error.format_message().expandtabs(2).split("\n")
            raise click.UsageError("\n".join(map(harmless, lines)), error.ctx) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sanr", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, hidden=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Compress light fields to .sanr files, and decode views of them."""
