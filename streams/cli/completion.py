"""`grayline completion`: shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from streams.runtime.saying import say_coloured

HELP = """Print the completion script for a shell.

\b
Examples:
  grayline completion bash > ~/.local/share/bash-completion/completions/grayline
  grayline completion zsh  > ~/.zfunc/_grayline
  grayline completion fish > ~/.config/fish/completions/grayline.fish
"""


@click.command("completion", help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    completion = get_completion_class(shell)
    assert completion is not None
    root = context.find_root().command
    say_coloured(completion(root, {}, "grayline", "_GRAYLINE_COMPLETE").source())
