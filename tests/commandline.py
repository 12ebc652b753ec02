"""Ways to call the command line in the process of a test."""

from __future__ import annotations

from typer.testing import CliRunner

from gecalign import cli


def call(*arguments: object, **options) -> str:
    """Call the command line in this process; what it raises comes out."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False, **options)
    assert result.exit_code == 0, result.output
    return result.stdout
