"""Files as people write them, and the table in each: a table of (text, columns, what is told)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from manynets.errors import DataError
from manynets.tables import fit_encoder, open_file, read_table, understand
from manynets.tables.written import PLAIN

N = None
TWO: dict[str, list[Any]] = {"a": [1, 3], "b": [2, 4]}
FORTY = [f"{i}.5,{i % 2}" for i in range(40)]
EIGHTHS = [*(i / 8 for i in range(1500)), N]
YS = [0, 1] * 750 + [1]
LONG = "\n".join(f"{i / 8},{i % 2}" for i in range(1500))

# what it is, the file, the table, a part of each warning
FILES: list[tuple[str, str | bytes, dict[str, list[Any]], list[str]]] = [
    # the first line of Excel
    ("sep=; of two columns", "sep=;\na;b\n1;2\n3;4\n", TWO, []),
    ("sep=; of three columns", "sep=;\na;b;c\n1;2;x\n3;4;y\n", {**TWO, "c": ["x", "y"]}, []),
    ("sep=, in quotes", '"sep=,"\na,b\n1,2\n3,4\n', TWO, []),
    ("SEP=tab", "SEP=\t\r\na\tb\r\n1\t2\r\n3\t4\r\n", TWO, []),
    # titles and comments
    ("a comment above the header", "# made 2024\na,b\n1,2\n3,4\n", TWO, ["above the header are left out (line 1)"]),
    ("a comment with commas", "# made 2024, by us, for you\na,b\n1,2\n3,4\n", TWO, ["above the header"]),
    ("slashes above the header", "// made 2024\na,b\n1,2\n3,4\n", TWO, ["above the header"]),
    ("comments among the rows", "a,b\n1,2\n# later\n3,4\n", TWO, ["comments are left out (line 3)"]),
    ("a comment at the end", "a,b\n1,2\n3,4\n// x\n", TWO, ["comments are left out (line 4)"]),
    ("a comment is the header", "# a,b\n1,2\n3,4\n", TWO, []),
    ("two comments, the second is the header", "# made 2024\n# a,b\n1,2\n3,4\n", TWO, ["above the header are left out (line 1)"]),
    ("a title", "Sales\na,b\n1,2\n3,4\n", TWO, ["above the header are left out (line 1)"]),
    ("a title and a blank line", "Sales of May\n\na,b\n1,2\n3,4\n", TWO, ["above the header"]),
    ("two titles", "Sales\nMay 2024\n\na;b\n1;2\n3;4\n", TWO, ["(lines 1, 2)"]),
    (
        "titles, one of them split by a comma",
        "Sales\nMade in May, by us\n\na,b,c\n1,2,x\n3,4,y\n",
        {**TWO, "c": ["x", "y"]},
        ["(lines 1, 2)"],
    ),
    (
        "names of rows, and a gap in the first",
        "a,b\nr1,NA,NA\nr2,3,4\n",
        {"unnamed_0": ["r1", "r2"], "a": [N, 3], "b": [N, 4]},
        ["first is taken for the names of the rows"],
    ),
    ("a comment with as many cells as a row", "a,b\n1,2\n# later, by us\n3,4\n", TWO, ["comments are left out (line 3)"]),
    ("a name that begins like a comment", "t,b\n#a,2\n#b,4\n", {"t": ["#a", "#b"], "b": [2, 4]}, []),
    ("a title with delimiters behind it", "Sales,,\na,b,c\n1,2,5\n3,4,6\n", {**TWO, "c": [5, 6]}, ["above the header"]),
    ("two titles with delimiters", "Sales,,\nMay 2024,,\n,,\na,b,c\n1,2,5\n3,4,6\n", {**TWO, "c": [5, 6]}, ["(lines 1, 2)"]),
    ("titles of two cells", "S,,,\nBy,E,,\nc,a,b,d\n7,1,2,x\n8,3,4,y\n", {"c": [7, 8], **TWO, "d": ["x", "y"]}, ["(lines 1, 2)"]),
    ("one name, and one cell", "a,,\n1,,\n3,4,6\n", {"a": [1, 3], "unnamed_1": [None, 4], "unnamed_2": [None, 6]}, []),
    ("a title and an empty row of delimiters", "Sales,,\n,,\na,b,c\n1,2,5\n3,4,6\n", {**TWO, "c": [5, 6]}, ["above the header"]),
    ("a comment is the header of words", "#a,b\nx,y\nz,w\n", {"a": ["x", "z"], "b": ["y", "w"]}, []),
    ("a comment is the header of one column", "# a\n1\n3\n", {"a": [1, 3]}, []),
    ("a comment above one column", "# made 2024\na\n1\n3\n", {"a": [1, 3]}, ["above the header"]),
    ("tags in a single column", "tag\n#a\n#b\n", {"tag": ["#a", "#b"]}, []),
    ("a percent sign in a name", "%fat,b\n1,2\n3,4\n", {"%fat": [1, 3], "b": [2, 4]}, []),
    (
        "a percent sign in a name below a title",
        "Sales\n%fat,b\nx,2\ny,4\n",
        {"%fat": ["x", "y"], "b": [2, 4]},
        ["above the header"],
    ),
    # line ends
    ("carriage returns only", "a,b\r1,2\r3,4\r", TWO, []),
    (
        "forty lines with carriage returns",
        "a,y\r" + "\r".join(FORTY) + "\r",
        {"a": [i + 0.5 for i in range(40)], "y": [0, 1] * 20},
        [],
    ),
    ("mixed line ends", "a,b\r\n1,2\r3,4\n", TWO, []),
    ("Windows", "a,b\r\n1,2\r\n3,4\r\n", TWO, []),
    ("no end of the last line", "a,b\n1,2\n3,4", TWO, []),
    ("a carriage return at the very end", "a,b\r\n1,2\r\n3,4\r", TWO, []),
    # delimiters at the end
    ("a delimiter at the end of the rows", "a,b\n1,2,\n3,4,\n", TWO, ["delimiter at the end of rows", "name of the row"]),
    (
        "of rows that may have names",
        "x,a,b\nu,1,2,\nv,3,4,\n",
        {"x": ["u", "v"], **TWO},
        ["delimiter at the end of", "if their first is the name"],
    ),
    (
        "and below a title",
        "T\n\nx,a,b\nu,1,2,\nv,3,4,\n",
        {"x": ["u", "v"], **TWO},
        ["(line 1)", "(lines 4, 5)", "if their first is the name"],
    ),
    ("of some rows", "a,b\n1,2,\n3,4\n", TWO, ["delimiter at the end of rows is left out (line 2)"]),
    ("of three columns", "a,b,y\n1,2,0,\n3,4,1,\n", {**TWO, "y": [0, 1]}, ["delimiter at the end of rows", "name of the row"]),
    ("of rows whose first cells are no names", "a,b\n1,2,\n1,4,\n", {"a": [1, 1], "b": [2, 4]}, ["delimiter at the end of rows"]),
    ("three of them", "a,b\n1,2,,,\n3,4,,,\n5,6,,,\n", {"a": [1, 3, 5], "b": [2, 4, 6]}, ["(lines 2, 3, 4)"]),
    ("of the header alone", "a,b,\n1,2\n3,4\n", TWO, ["delimiter at the end of rows is left out (line 1)"]),
    ("of header and rows", "a,b,\n1,2,\n3,4,\n", TWO, ["without a name and without a value"]),
    ("several of them", "a,b,,,\n1,2,,,\n3,4,,,\n", TWO, ["(counted from 0: 2, 3, 4)"]),
    # below the table
    ("a source", "a,b\n1,2\n3,4\nSource: the office\n", TWO, ["below the table are left out (line 4)"]),
    ("a source with commas", "a,b\n1,2\n3,4\nSource: we, you, and they\n", TWO, ["below the table"]),
    ("a source with as many cells as a row", "a,b\n1,2\n3,4\nSource: we, you\n", TWO, ["below the table are left out (line 4)"]),
    (
        "notes that their commas split",
        "a,b,c\n1,2,5\n3,4,6\n\nNotes:\n1) one, two\n2) more\n",
        {**TWO, "c": [5, 6]},
        ["(lines 5, 6, 7)"],
    ),
    ("a count of rows without brackets", "a,b\n1,2\n3,4\n2 rows\n", TWO, ["below the table"]),
    ("a total with its sum", "a,b\n1,2\n3,4\nTotal: 4,6\n", TWO, ["row of totals"]),
    ("a sentence after a blank line", "a,b\n1,2\n3,4\n\nmade by hand\n", TWO, ["below the table are left out (line 5)"]),
    ("a count of rows", "a,b\n1,2\n3,4\n(2 rows)\n", TWO, ["below the table"]),
    ("two lines", "a,b\n1,2\n3,4\n\nNote: x\n* rounded\n", TWO, ["(lines 5, 6)"]),
    (
        "a last row with gaps is none",
        "t,n,m\nx,2,1\nNew York City,,\n",
        {"t": ["x", "New York City"], "n": [2, N], "m": [1, N]},
        [],
    ),
    ("nor is a notebook", "sep=,\nt,n,m\nx,2,1\nNotebook,,\n", {"t": ["x", "Notebook"], "n": [2, N], "m": [1, N]}, []),
    ("a total", "t,n\nx,2\ny,4\nTotal,6\n", {"t": ["x", "y"], "n": [2, 4]}, ["row of totals is left out (line 4)"]),
    ("a total in a column of numbers", "a,b\n1,2\n3,4\nTotal,6\n", TWO, ["row of totals"]),
    ("a total in German", "t;n\nx;2\ny;4\nSumme;6\n", {"t": ["x", "y"], "n": [2, 4]}, ["row of totals"]),
    ("a total behind an empty cell", "a,t,n\n1,x,2\n2,y,4\n,Total,6\n", {"a": [1, 2], "t": ["x", "y"], "n": [2, 4]}, ["totals"]),
    ("total as a value", "t,n\nTotal,2\ny,4\nTotal,6\n", {"t": ["Total", "y", "Total"], "n": [2, 4, 6]}, []),
    # infinite numbers
    (
        "infinite numbers",
        "a,b\n1.5,2\ninf,3\n-Infinity,4\n2.5,5\n3.5,6\n",
        {"a": [1.5, N, N, 2.5, 3.5], "b": [2, 3, 4, 5, 6]},
        ["2 infinite numbers"],
    ),
    ("infinite as a word", "a,b\nx,2\ninf,3\ny,4\n", {"a": ["x", "inf", "y"], "b": [2, 3, 4]}, []),
    # blank rows and columns
    ("blank lines", "\na,b\n\n\n1,2\n\n3,4\n\n", TWO, []),
    ("rows of delimiters at the end", "a,b\n1,2\n3,4\n,\n,\n", TWO, ["empty rows at the end"]),
    ("a row of delimiters between", "a,b\n1,2\n,\n3,4\n", {"a": [1, N, 3], "b": [2, N, 4]}, []),
    ("a blank column in front", ",a,b\n,1,2\n,3,4\n", TWO, ["(counted from 0: 0)"]),
    ("a blank column between", "a,,b\n1,,2\n3,,4\n", TWO, ["(counted from 0: 1)"]),
    ("a blank line in a single column", "a\n1\n\n3\n", {"a": [1, N, 3]}, []),
    # names
    ("an index without a name", ",a,b\n0,1,2\n1,3,4\n", {"unnamed_0": [0, 1], **TWO}, []),
    (
        "names of rows as R writes them",
        "a,b\nr1,1,2\nr2,3,4\n",
        {"unnamed_0": ["r1", "r2"], **TWO},
        ["first is taken for the names of the rows"],
    ),
    ("a name twice", "a,a\n1,2\n3,4\n", {"a": [1, 3], "a_2": [2, 4]}, ["'a' is called 'a_2'"]),
    ("a name of two lines", '"a\nb",c\n1,2\n3,4\n', {"a\nb": [1, 3], "c": [2, 4]}, []),
    ("blanks around names", " a , b\n1,2\n3,4\n", TWO, []),
    ("numbers as names", "3,1\n1,2\n3,4\n", {"3": [1, 3], "1": [2, 4]}, ["mn.tables.read_table(path, header=False) reads it"]),
    ("rising numbers as names", "0,1\n1,2\n3,4\n", {"0": [1, 3], "1": [2, 4]}, []),
    ("the header again", "a,b\n1,2\na,b\n3,4\n", TWO, ["header is repeated in 1 row, left out"]),
    # quotes
    ("quotes within cells", 'a,b\n5" pipe,1\n6" pipe,2\n', {"a": ['5" pipe', '6" pipe'], "b": [1, 2]}, []),
    ("a single quote within a cell", 'a,b\n5" pipe,1\nsix,2\n', {"a": ['5" pipe', "six"], "b": [1, 2]}, []),
    ("a cell of two lines", 'a,b\n"x\ny",1\nz,2\n', {"a": ["x\ny", "z"], "b": [1, 2]}, []),
    ("quotes doubled", 'a,b\n"x ""y"" z",1\nw,2\n', {"a": ['x "y" z', "w"], "b": [1, 2]}, []),
    ("all in quotes", '"a","b"\n"1","2"\n"3","4"\n', TWO, []),
    # encodings
    ("a byte order mark", b"\xef\xbb\xbfa,b\n1,2\n3,4\n", TWO, []),
    ("UTF-16", "a,b\n1,2\n3,4\n".encode("utf-16"), TWO, []),
    ("UTF-16 without a mark", "a,b\n1,2\n3,4\n".encode("utf-16-le"), TWO, []),
    ("Latin 1", "a,b\né,2\nü,4\n".encode("latin-1"), {"a": ["é", "ü"], "b": [2, 4]}, ["is read as cp1252"]),
    ("Windows-1252", "a,b\n€5,2\n€6,4\n".encode("cp1252"), {"a": ["€5", "€6"], "b": [2, 4]}, ["is read as cp1252"]),
    # missing and stray words
    *(
        (
            f"{token!r} after 1,500 numbers",
            f"a,y\n{LONG}\n{token},1\n",
            {"a": EIGHTHS, "y": YS},
            [],
        )
        for token in ("n/a", "N/A", "#N/A", "NULL", "-", ".", "nan", "(blank)", "#VALUE!", "None")
    ),
    (
        "a word after 1,500 numbers",
        f"a,y\n{LONG}\noops,1\n",
        {"a": EIGHTHS, "y": YS},
        ["1 of 1501 cells is no number and counts as missing; the first is 'oops' in row 1500"],
    ),
    (
        "inf after 1,500 numbers",
        f"a,y\n{LONG}\ninf,1\n",
        {"a": EIGHTHS, "y": YS},
        ["'inf' in row 1500"],
    ),
    (
        "a word among few numbers",
        "a,b\n1,2\nx,3\n5,4\n6,5\n",
        {"a": [1, N, 5, 6], "b": [2, 3, 4, 5]},
        ["the first is 'x' in row 1"],
    ),
    ("a word beside two values", "a,b\n1,2\nother,3\n2,4\n1,5\n", {"a": ["1", "other", "2", "1"], "b": [2, 3, 4, 5]}, []),
    (
        "two words among few numbers",
        "a,b\n1,2\nx,3\n5,4\ny,4\n7,5\n8,5\n9,5\n",
        {"a": ["1", "x", "5", "y", "7", "8", "9"], "b": [2, 3, 4, 4, 5, 5, 5]},
        [],
    ),
    (
        "a code among codes with a zero in front",
        "a,b\n001,2\n136A,3\n003,4\n204,5\n205,5\n",
        {"a": ["001", "136A", "003", "204", "205"], "b": [2, 3, 4, 5, 5]},
        [],
    ),
    (
        "a date among numbers is no code",
        "a,b\n1,2\n01.02.2020,3\n5,4\n6,5\n",
        {"a": [1, N, 5, 6], "b": [2, 3, 4, 5]},
        ["the first is '01.02.2020' in row 1"],
    ),
    (
        "a word among dates",
        "a,b\n2024-01-31,2\nlater,3\n2024-02-29,4\n2024-03-31,5\n",
        {"a": ["2024-01-31", N, "2024-02-29", "2024-03-31"], "b": [2, 3, 4, 5]},
        ["is no date and counts as missing"],
    ),
    (
        "a word among prices",
        "a,b\n$1,2\nfree,3\n$3,4\n$5,5\n",
        {"a": ["$1", N, "$3", "$5"], "b": [2, 3, 4, 5]},
        ["'free' in row 1"],
    ),
    ("tokens among words", "a,b\nNA,2\n#N/A,3\n(blank),4\n,4\nNone,4\n", {"a": ["NA", N, N, N, "None"], "b": [2, 3, 4, 4, 4]}, []),
    ("2.1 after 1,500 whole numbers", "a\n" + "\n".join(map(str, range(1500))) + "\n2.1\n", {"a": [*range(1500), 2.1]}, []),
    ("unknown among numbers", "a,b\nunknown,2\n3,TBD\nNot available,4\n", {"a": [N, 3, N], "b": [2, N, 4]}, []),
    # a second header
    ("units below the header", "a,b\nkg,cm\n1,2\n3,4\n", TWO, ["line below the header ('kg', 'cm') holds no numbers"]),
    ("a first row of empty cells", "a,b\n,\n1,2\n3,4\n", {"a": [None, 1, 3], "b": [None, 2, 4]}, []),
    ("units with powers", "a,b\nm2,kg/m3\n1,2\n3,4\n", TWO, ["line below the header ('m2', 'kg/m3') holds no numbers"]),
    ("units with other powers", "a,b\nm^2 s-1,W/(m2 K)\n1,2\n3,4\n", TWO, ["line below the header"]),
    ("codes are no units", "a,b\nA2,km1\n1,2\n3,4\n", {"a": ["A2", "1", "3"], "b": ["km1", "2", "4"]}, []),
    ("units of prices", 'a,b\neach,cm\n"$1,000",2\n$3,4\n', {"a": ["$1,000", "$3"], "b": [2, 4]}, ["line below the header"]),
    (
        "units but for one",
        "a,b,c\nkg,,cm\n1,2,5\n3,4,6\n",
        {"a": [1, 3], "b": [2, 4], "c": [5, 6]},
        ["header ('kg', '', 'cm') holds no"],
    ),
    (
        "names and a class",
        "a,b,c\nkg,cm,kind\n1,2,x\n3,4,y\n",
        {"a": [1, 3], "b": [2, 4], "c": ["x", "y"]},
        ["header ('kg', 'cm', 'kind') holds no"],
    ),
    (
        "a first row of a known class",
        "a,b,c\nkg,cm,x\n1,2,x\n3,4,y\n",
        {"a": ["kg", "1", "3"], "b": ["cm", "2", "4"], "c": ["x", "x", "y"]},
        [],
    ),
    ("a first row of words", "a,b\nkg,cm\n1,x\n3,y\n", {"a": ["kg", "1", "3"], "b": ["cm", "x", "y"]}, []),
    # no header
    ("words are the header", "x,2\ny,2\nx,4\n", {"x": ["y", "x"], "2": [2, 4]}, ["look like values ('x', '2')"]),
    ("years beside a name", "t,2019\ny,2\nx,4\n", {"t": ["y", "x"], "2019": [2, 4]}, []),
    ("blanks between columns", "a b c\n1 2 x\n3 4 y\n", {"a b c": ["1 2 x", "3 4 y"]}, ["of 3 words: if blanks are between"]),
    ("sentences of one column", "a b c\nx y z\n1 2 3\n", {"a b c": ["x y z", "1 2 3"]}, []),
    # numbers
    ("points and commas", 'a;b\n"1.299,99";2\n"5,5";4\n', {"a": ["1.299,99", "5,5"], "b": [2, 4]}, []),
    ("a decimal comma and tabs", "a\tb\n1,5\t2\n2,25\t4\n", {"a": ["1,5", "2,25"], "b": [2, 4]}, []),
    ("a decimal comma and semicolons", "a;b\n1,5;2\n2,25;4\n", {"a": [1.5, 2.25], "b": [2, 4]}, []),
    ("points between thousands", "a;b\n1.250;2\n900;4\n", {"a": ["1.250", "900"], "b": [2, 4]}, []),
    (
        "long whole numbers",
        "a,b\n1000000000000000001,2\n1000000000000000002,4\n",
        {"a": ["1000000000000000001", "1000000000000000002"], "b": [2, 4]},
        [],
    ),
    ("zeros in front", "a,b\n01000,2\n01001,4\n", {"a": ["01000", "01001"], "b": [2, 4]}, []),
]

# what it is, the file, a part of the message
REFUSED: list[tuple[str, str | bytes, str]] = [
    ("a short line", "a,b\n1,2\n3\n4,5\n", "line 3 has 1 field, but the header has 2"),
    ("a short last line", "a,b,c\n1,2,3\n4,5\n", "line 3 has 2 fields, but the header has 3"),
    ("a long line", "a,b\n1,2\n3,4,5\n6,7\n", "line 3 has 3 fields, but the header has 2"),
    ("a quote that is never closed", 'a,b\n1,"x\n2,y\n3,z\n', 'line 2: a quote (") opens a cell that is never closed'),
    ("a quote in front that is never closed", 'a,b\n"x,1\ny,2\nz,3\n', "line 2: a quote"),
    ("a long header", "a,b,c\n1,2\n3,4\n5,6\n", "line 1: the header has 3 fields, but most rows have 2"),
    ("nothing", "", "0 data rows"),
    ("only sep=", "sep=;\n", "0 data rows"),
    ("only a header", "a,b\n", "0 data rows"),
    ("only a title and a header", "Sales\na,b\n", "line 2 has 2 fields, but the header has 1"),
    ("zeros", b"a\0\0\0,b\n1,2\n", "line 1 is not text: byte 0x00 at offset 1"),
    ("a delimiter that is none", "sep=•\na•b\n1•2\n".encode(), "line 1 gives '•' as the delimiter"),
    ("no encoding", b"a,b\n\x81,2\n", "line 2 is not utf-8: byte 0x81 at offset 4"),
    ("a web page", "<!DOCTYPE html>\n<html>\n", "is a page of HTML or XML; download the file itself"),
    ("objects of JSON", '{\n"a": 1}\n', "is JSON; write one object a line and call it t.jsonl"),
    ("JSON Lines", '{"a": 1}\n{"a": 2}\n', "is JSON Lines, whatever its ending; rename it to t.jsonl"),
    ("an array of JSON", '[\n {"a": 1}]\n', "is JSON"),
    ("a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid 1\n", "get the file itself, with git lfs pull"),
    ("compressed with Zstandard", b"\x28\xb5\x2f\xfd\x04\0", "is a Zstandard file, whatever its ending; rename it to t.csv.zst"),
    ("rows split, header not", "a\n1;2\n3;4\n", "header is one field, but the rows are split by semicolon"),
]


def _write(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("content", "expected", "told"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_files_as_written(tmp_path: Path, content: str | bytes, expected: dict[str, list[Any]], told: list[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read_table(_write(tmp_path, content))
    assert frame.to_dict(as_series=False) == expected
    messages = [str(entry.message) for entry in caught]
    assert len(messages) == len(told), messages
    for message, part in zip(messages, told, strict=True):
        assert part in message
        assert "t.csv" in message


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_files_that_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(_write(tmp_path, content))
    assert message in str(caught.value)


def test_no_header(tmp_path: Path) -> None:
    assert read_table(_write(tmp_path, "1,x\n2,y\n"), header=False).to_dict(as_series=False) == {"x0": [1, 2], "x1": ["x", "y"]}
    with pytest.warns(UserWarning, match="comments are left out"):
        frame = read_table(_write(tmp_path, "# x\n1,2\n3,4\n"), header=False)
    assert frame.to_dict(as_series=False) == {"x0": [1, 3], "x1": [2, 4]}


def test_names_in_a_file_without_a_header_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the first line \('a', 'b'\) holds no numbers, .* left out, as names or units"):
        assert read_table(_write(tmp_path, "a,b\n1,2\n3,4\n"), header=False).to_dict(as_series=False) == {
            "x0": [1, 3],
            "x1": [2, 4],
        }


def test_blanks_between_the_columns(tmp_path: Path) -> None:
    path = _write(tmp_path, "  a   b\n 1  2 \n  3    4\n")
    assert read_table(path, delimiter=" ").to_dict(as_series=False) == TWO
    assert open_file(path, delimiter=" ").names == ("a", "b")


def test_columns_that_stay_as_they_are_written(tmp_path: Path) -> None:
    """A file at prediction may hold a part only of what was seen at fit: it is read as that was."""
    train = "size;floor;when;n;flag\n" + "".join(
        f"{i}.{100 + i};{'ground' if i % 3 else i};{i % 28 + 1}.{i % 12 + 1}.2024;{i};{i % 2}\n" for i in range(1, 41)
    )
    train += "1.234.567,5;ground;31.12.2024;3;0\n"
    frame = read_table(_write(tmp_path, train))
    encoder = fit_encoder(frame, numeric=["n"], categorical=["flag"])
    assert {name for name, form in encoder.forms.items() if form != PLAIN} == {"size", "floor", "when", "n"}
    part = "".join(train.splitlines(keepends=True)[:22]).replace("ground", "7").replace("\n2.102;7;", "\n2.102;ground;")
    again = read_table(_write(tmp_path, part), text=encoder.forms)
    whole = read_table(_write(tmp_path, part + "1.234.567,5;ground;31.12.2024;3;0\n"), text=encoder.forms)
    assert again.get_column("floor").null_count() == 0
    assert encoder.transform(again).tobytes() == encoder.transform(whole)[:-1].tobytes()
    with pytest.warns(UserWarning, match="'floor': 1 of 21 cells is no number"):
        read_table(_write(tmp_path, part))


FORTY_DAYS = [f"${i},{i % 28 + 1}.{i % 12 + 1}.2024,{i % 3 + i / 8}" for i in range(40)]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({3: "kaputt,1.2.2024,5"}, "'p': 1 of 40 cells is no number and counts as missing; the first is 'kaputt' in row 3"),
        ({3: "5 kg,1.2.2024,5"}, "'p': 1 of 40 cells is no number"),
        ({7: "$1,soon,5"}, "'d': 1 of 40 cells is no date and counts as missing; the first is 'soon' in row 7"),
        ({7: "$1,1.2.2024,1 200"}, "'n': 1 of 40 cells is no number and counts as missing; the first is '1 200' in row 7"),
        ({3: "kaputt,1.2.2024,5", 5: "???,1.2.2024,5"}, ""),
        (dict(enumerate(["unknown,?,-"] * 39 + ["kaputt,?,-"])), ""),
    ],
)
def test_a_few_odd_cells_of_new_rows_are_gaps_as_in_training(odd: dict[int, str], told: str, tmp_path: Path) -> None:
    """Also where their columns stay text in the file, as those with units and dates do."""
    encoder = fit_encoder(read_table(_write(tmp_path, "\n".join(["p,d,n", *FORTY_DAYS]))))
    new = "\n".join(["p,d,n", *(odd.get(i, line) for i, line in enumerate(FORTY_DAYS))])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_table(_write(tmp_path, new), text=encoder.forms)
    assert len(caught) == bool(told)
    if told:
        assert told in str(caught[0].message)
        encoder.transform(table)
    else:
        with pytest.raises(DataError, match=r"column 'p' should hold numbers .* holds 'kaputt'"):
            encoder.transform(table)


def _kinds(folder: Path, content: str) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {column.name: column.kind for column in understand(read_table(_write(folder, content)))}


def test_the_columns_of_the_public_reports_are_used(tmp_path: Path) -> None:
    rows = range(40)
    for cell in (
        *(
            lambda i: f"${1000 + i}",
            lambda i: f'"${1000 + i:,}"',
            lambda i: f'"{i + 1}.{i + 100},50"',
            lambda i: f'"{i + 1},234"',
        ),
        *(lambda i: f"{i},5", lambda i: f"{i}.5 kg", lambda i: f"({i * 37 % 91}.5)", lambda i: f"{i} %", lambda i: f"PT{i}H"),
    ):
        content = "a\ty\n" + "".join(f"{cell(i)}\t{i % 2}\n" for i in rows)
        assert _kinds(tmp_path, content)["a"] == "numeric", content[:30]
    for cell in (
        *(lambda i: f"{i % 28 + 1}-Jan-{1980 + i}", lambda i: f"{i % 24}:{i + 10}", lambda i: f"{i % 12 + 1}:{i + 10} pm"),
        *(
            lambda i: f"2024-01-01T{i % 24:02d}:{i:02d}{'Z' if i % 2 else '+02:00'}",
            lambda i: f"2024{i % 12 + 1:02d}{i % 28 + 1:02d}",
        ),
        *(lambda i: f"{1_700_000_000 + i * 1000}", lambda i: f"{1_700_000_000_000 + i * 1000}"),
    ):
        content = "a,y\n" + "".join(f"{cell(i)},{i % 2}\n" for i in rows)
        assert _kinds(tmp_path, content)["a"] == "date", content[:30]


def test_whole_numbers_that_float64_would_merge_are_codes(tmp_path: Path) -> None:
    for size in (10**17, 10**18):
        content = "a,y\n" + "".join(f"{size + i},{i % 2}\n" for i in range(40))
        frame = read_table(_write(tmp_path, content))
        column = understand(frame)[0]
        assert (column.kind, column.distinct) == ("dropped", 40)
        assert "declare it categorical to keep it" in column.note
        few = understand(read_table(_write(tmp_path, "a,y\n" + "".join(f"{size + i % 5},{i % 2}\n" for i in range(40)))))[0]
        assert (few.kind, few.distinct) == ("categorical", 5)


def test_there_are_enough_files() -> None:
    assert len(FILES) + len(REFUSED) >= 60


def test_a_quote_at_the_end_of_a_file_makes_no_noise(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """polars panics on it, and its trace goes to standard error though the panic is caught."""
    path = tmp_path / "t.csv"
    path.write_bytes(b'a,b\r\n"x ""y""\nz",1\r\n"1,234",2\r\n,"')
    with pytest.warns(UserWarning, match=r"empty rows at the end are left out \(line 5\)"):
        assert read_table(path).height == 2
    assert capfd.readouterr().err == ""
