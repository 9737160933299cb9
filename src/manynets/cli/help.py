"""The pages of help: which panel a command and an option belong to."""

from __future__ import annotations

from functools import partial
from typing import Any

FIRST = 5
"""Options of a command that stand before the others: those that its function names first."""
_MANY = 7  # options that need no panels

_COMMANDS = {
    "Train": ("train", "sweep", "rerun", "playground"),
    "Judge and understand": ("show", "evaluate", "compare", "explain", "report", "plot"),
    "Use": ("predict", "export", "serve"),
    "Data, studies and this installation": ("inspect", "datasets", "study", "doctor"),
}


def panel_of(command: str) -> str | None:
    """Return the panel of a command by its name; None for one that is on no list.

    >>> panel_of("predict")
    'Use'
    """
    return next((panel for panel, names in _COMMANDS.items() if command in names), None)


def _flowing(text: str) -> str:
    """Return a help text whose paragraphs fill the lines of the terminal, except for examples, which begin with \\b.

    >>> _flowing("What it\\ndoes.\\n\\n\\b\\nmanynets show a\\nmanynets show b")
    'What it does.\\n\\nmanynets show a\\nmanynets show b'
    """
    parts = (part.strip("\n") for part in text.split("\n\n"))
    return "\n\n".join(part.removeprefix("\b\n") if part.startswith("\b") else " ".join(part.split()) for part in parts)


def _same(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _without_types(command: Any) -> None:
    """Take the "<bool>" off flags in the help of a command, and braces and "<str>" off arguments."""
    for one in command.params:
        if getattr(one, "is_flag", False):
            one.metavar = one.metavar or " "
        elif one.param_type_name == "argument":
            usage = one.metavar if one.required else f"[{one.metavar}]"
            one.get_usage_pieces = partial(_same, [usage if one.nargs == 1 or one.required else f"{usage}..."])
            one.display_type_rich = partial(_same, None)
    original = command.get_help_option

    def help_option(context: Any) -> Any:
        found = original(context)
        if found is not None:
            found.metavar = " "
        return found

    command.get_help_option = help_option


def in_panels(group: Any) -> Any:
    """Put the options of each command that has many into panels, after the first few; return the group of commands."""
    _without_types(group)
    for command in group.commands.values():
        command.help = _flowing(command.help or "")
        _without_types(command)
        options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
        if len(options) > _MANY:
            for one in options[FIRST:]:
                one.rich_help_panel = one.rich_help_panel or "More options"
    return group
