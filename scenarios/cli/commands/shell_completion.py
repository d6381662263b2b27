"""``lazynuma completion``: what a shell needs so that TAB completes our words."""

import argparse

from ....engine.errors import BadInput

_SHELLS = ("bash", "zsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument(
        "shell",
        metavar="SHELL",
        help='bash or zsh; in its start file: eval "$(lazynuma completion bash)"',
    )


def execute(options: argparse.Namespace) -> None:
    """Print the code for a shell."""
    if options.shell not in _SHELLS:
        raise BadInput(f"shell must be bash or zsh, got {options.shell!r}")
    try:
        from argcomplete import shellcode
    except ImportError as error:
        raise BadInput(
            "completion must have argcomplete: pip install 'lazynuma[completion]'"
        ) from error
    if options.shell == "zsh":  # which may not have loaded its own completion yet
        print("(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }")
    print(shellcode(["lazynuma"], shell=options.shell))
