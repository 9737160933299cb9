"""From the docstrings of this project to the reStructuredText that autodoc expects, and from code and names of pages to links.

A docstring here is plain text: paragraphs, lines `name: what it is` with indented continuations, and doctests. Names in single backticks
are code, and links where they are documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import manynets

ITEM = re.compile(r"(?P<names>\*{0,2}[A-Za-z_]\w*(?:, \*{0,2}[A-Za-z_]\w*)*): (?P<text>.*)")
SECTIONS = {"Args:", "Parameters:", "Errors:", "Raises:", "Returns:", "Attributes:"}
NAME = re.compile(r"[A-Za-z_][\w.]*")
PAGE = re.compile(r"docs/([\w/-]+)\.md")
ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(?P<name>\w+)`")
"""As docstrings that are inherited from scikit-learn have it."""
IN_A_PAGE = re.compile(r"(?:mn|manynets)\.(?P<name>[A-Za-z_][\w.]*)(?:\(.*\))?")


class LinkNames(SphinxTransform):
    """Make code such as `mn.train` or `mn.MLP(hidden=(64,))` in the text of a page a link to the reference."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            match = IN_A_PAGE.fullmatch(literal.astext())
            if match is None or isinstance(literal.parent, nodes.reference | addnodes.pending_xref | nodes.title):
                continue
            link = addnodes.pending_xref(
                "",
                refdomain="py",
                reftype="obj",
                reftarget=_target(f"manynets.{match['name']}"),
                refwarn=False,
                refexplicit=True,
                refdoc=self.env.docname,
            )
            literal.replace_self(link)
            link += literal


class LinkPages(SphinxTransform):
    """Make the name of a page in the text of another, such as docs/tables.md in the changelog, a link to it."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            names = PAGE.split(text.astext())
            if len(names) == 1 or isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.reference | nodes.raw):
                continue
            parts: list[nodes.Node] = [nodes.Text(part) for part in names]
            for i, name in enumerate(names[1::2]):
                link = parts[2 * i + 1] = addnodes.pending_xref(
                    "",
                    refdomain="std",
                    reftype="doc",
                    reftarget=f"/{name}",
                    refwarn=True,
                    refexplicit=False,
                    refdoc=self.env.docname,
                )
                link += nodes.inline(text=name)
            text.parent.replace(text, parts)


def process(_app: object, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Replace the lines of a docstring, as autodoc asks."""
    lines[:] = as_rst(lines)


def process_signature(
    _app: object, _what: str, _name: str, _object: object, _options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Return a signature as Sphinx can read it: a default that is made anew each time is written as three dots."""
    return signature and signature.replace("<factory>", "..."), returned


def as_rst(lines: Iterable[str]) -> list[str]:
    """Return a docstring as reStructuredText.

    >>> print("\\n".join(as_rst(["Return `x`.", "", "lr: the rate, |w| of", "    it."])).strip())
    Return :py:obj:`x <x>`.
    <BLANKLINE>
    * **lr**: the rate, \\|w\\| of
      it.
    >>> as_rst(["Return a :class:`~sklearn.utils.MetadataRequest`."])[0]
    'Return a :py:obj:`MetadataRequest <MetadataRequest>`.'
    """
    out: list[str] = []
    block: list[str] = []
    for line in [*(ROLE.sub(r"`\g<name>`", one) for one in lines), ""]:
        if line.strip():
            block.append(line.rstrip())
        elif block:
            out += [*_block(block), ""]
            block = []
    return out


def _block(lines: list[str]) -> list[str]:
    """Return one paragraph, list, example or table of a docstring."""
    if lines[0].lstrip().startswith(">>>"):
        return [line.removeprefix("    ") if lines[0].startswith("    ") else line for line in lines]
    if all(line.startswith("    ") for line in lines) and not any(ITEM.match(line.strip()) for line in lines):
        return ["::", "", *lines]
    out: list[str] = []
    in_items = False
    section = False
    for line in lines:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        item = ITEM.fullmatch(text) if indent == 0 or (section and indent == 4) else None
        if text in SECTIONS:
            out += [*([""] if out else []), f"**{text}**", ""]
            section, in_items = True, False
        elif item:
            out += [""] if out and not in_items else []
            out.append(f"* **{item['names'].replace('*', chr(92) + '*')}**: {_inline(item['text'])}")
            in_items = True
        elif text.startswith("- "):
            out += [""] if out and not in_items else []
            out.append(f"* {_inline(text[2:])}")
            in_items = True
        elif in_items:
            out.append(f"  {_inline(text)}")
        else:
            out.append(_inline(text))
    return out


def _inline(text: str) -> str:
    """Return a line with its code as code, and with the characters escaped that mean something in reStructuredText."""
    parts = re.split(r"(``[^`]+``|`[^`]+`)", text)
    return "".join(_code(part.strip("`")) if part.startswith("`") else _plain(part) for part in parts)


def _code(text: str) -> str:
    page = PAGE.fullmatch(text)
    if page:
        return f":doc:`/{page[1]}`"
    return f":py:obj:`{text} <{_target(text)}>`" if NAME.fullmatch(text) else f"``{text}``"


def _target(name: str) -> str:
    """Return the name under which the reference has it: that of its package where a page lists the whole package.

    >>> _target("mn.Binary"), _target("mn.train"), _target("Model.save")
    ('manynets.tasks.Binary', 'manynets.train', 'Model.save')
    """
    full = re.sub(r"^mn\.", "manynets.", name)
    first, _, rest = full.removeprefix("manynets.").partition(".")
    if first in manynets.tasks.__all__:
        return f"manynets.tasks.{first}{'.' if rest else ''}{rest}"
    return full


def _plain(text: str) -> str:
    text = re.sub(r"([\\*|`])", r"\\\1", text)
    text = re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", text)
    return PAGE.sub(r":doc:`/\1`", text)
