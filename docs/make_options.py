"""Write docs/options.md from the tables of options: python docs/make_options.py."""

from __future__ import annotations

from pathlib import Path

from manynets.cli.grid import SEARCHED
from manynets.cli.options import PANELS, SWEEP, TRAIN, CommandOption, ordered
from manynets.cli.recipe import flag_of
from manynets.spec.options import OPTIONS

PAGE = Path(__file__).resolve().parent / "options.md"

INTRODUCTION = """# Options

The options of `manynets train` and `manynets sweep`, and the fields of `mn.MLP`, `mn.Recipe` and their parts that they set. Both are
generated from the same table (`python docs/make_options.py`). Options marked * can be varied by `manynets sweep --grid`. Where the
command line has another default than the field, both are given.
"""


def page() -> str:
    """Return the text of docs/options.md."""
    parts = [INTRODUCTION]
    for panel in PANELS:
        table = SWEEP if panel == "Sweep" else TRAIN
        options = {name: option for name, option in table.items() if option.panel == panel}
        rows = [_row(name, option) for name, option in ordered(options) if not option.hidden]
        parts += [f"## {panel}", "\n".join(["| option | what it does | values | default | sets |", "|---|---|---|---|---|", *rows])]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _row(name: str, option: CommandOption) -> str:
    """Return the row of an option."""
    spec = OPTIONS.get(name)
    flags = " ".join(f"`{flag}`" for flag in (option.flags or (flag_of(name),)))
    star = " *" if name in SEARCHED else ""
    help = option.help.replace("|", "\\|")
    values, fields, default = _values(option), "", option.shown or ("no" if option.type is bool else "")
    if spec is not None:
        fields = ", ".join(f"`{kind.__name__}.{spec.field}`" for kind in spec.classes.values())
        several = ", with commas" if spec.metadata.several else ""
        allowed = spec.metadata.allowed
        values = values if allowed is bool or spec.names or allowed is None else f"{allowed}{several}"
        default = default if default == spec.default else f"{default} (field: {spec.default})" if spec.default else default
    return f"| {flags}{star} | {help} | {values} | {default} | {fields} |".replace("  ", " ")


def _values(option: CommandOption) -> str:
    """Return what an option takes."""
    if option.type == list[str]:
        return "text, repeatable"
    return {int: "a whole number", float: "a number", bool: "", str: "a name" if option.metavar == "NAME" else "text"}[option.type]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
