"""Formats besides CSV: sheets, JSON lines, several Parquet files, standard input."""

from __future__ import annotations

import gzip
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import polars
import pytest

from manynets.errors import DataError, MissingExtraError
from manynets.tables import fit_encoder, open_file, read_table
from manynets.tables.files import sheets_of
from manynets.tables.frames import open_table

FRAME = polars.DataFrame({"n": [1, 2, 3], "x": [0.5, None, 2.5], "t": ["a", "NA", "b"]})


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def _as_bytes(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "csv":
        return FRAME.write_csv().encode()
    if kind == "gz":
        return gzip.compress(FRAME.write_csv().encode())
    if kind == "jsonl":
        return FRAME.write_ndjson().encode()
    {"parquet": FRAME.write_parquet, "ipc": FRAME.write_ipc, "stream": FRAME.write_ipc_stream}[kind](out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["csv", "gz", "jsonl", "parquet", "ipc", "stream"])
def test_standard_input_in_any_format(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(_as_bytes(kind)))
    assert read_table("-").equals(FRAME)
    monkeypatch.setattr(sys, "stdin", Stdin(_as_bytes(kind)))
    assert open_file("-").names == ("n", "x", "t")


@pytest.mark.parametrize("data", [b"", b"\x1f\x8bnonsense", b"PAR1nonsense", b"ARROW1nonsense", b'{"a": 1}\n{"a": \n', b"{}"])
def test_what_is_no_table_on_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    with pytest.raises(DataError, match="standard input"):
        read_table("-")


def test_json_lines(tmp_path: Path) -> None:
    lines = '{"a": 1, "b": "x"}\n{"a": 2.5}\n\n{"b": "y", "c": [1, 2]}\n'
    (tmp_path / "t.jsonl").write_text(lines)
    (tmp_path / "t.ndjson.gz").write_bytes(gzip.compress(lines.encode()))
    frame = read_table(tmp_path / "t.jsonl")
    assert frame.to_dict(as_series=False) == {"a": [1.0, 2.5, None], "b": ["x", None, "y"], "c": [None, None, [1, 2]]}
    assert read_table(tmp_path / "t.ndjson.gz").equals(frame)
    for wrong, message in (("1\n", "line 1 is a int"), ('{"a": 1}\n{"a"\n', "line 2 is not JSON"), ("\n", "0 data rows")):
        (tmp_path / "w.jsonl").write_text(wrong)
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / "w.jsonl")


def test_several_parquet_files(tmp_path: Path) -> None:
    (tmp_path / "in" / "color=red").mkdir(parents=True)
    (tmp_path / "in" / "color=blue").mkdir()
    FRAME.write_parquet(tmp_path / "in" / "color=red" / "0.parquet")
    FRAME[:1].write_parquet(tmp_path / "in" / "color=blue" / "0.parquet")
    frame = read_table(tmp_path / "in")
    assert frame.to_dict(as_series=False) == {
        "n": [1, 1, 2, 3],
        "x": [0.5, 0.5, None, 2.5],
        "t": ["a", "a", "NA", "b"],
        "color": ["blue", "red", "red", "red"],
    }
    assert read_table(f"{tmp_path}/in/*/*.parquet").equals(frame)
    table = open_file(tmp_path / "in")
    assert table.shape == (4, 4)
    assert fit_encoder(table) == fit_encoder(frame)
    FRAME.rename({"n": "m"}).write_parquet(tmp_path / "in" / "1.parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_table(tmp_path / "in")
    with pytest.raises(DataError, match="no file fits this pattern"):
        read_table(tmp_path / "*.pq")
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="a pattern may fit Parquet files only"):
        read_table(tmp_path / "*.csv")
    with pytest.raises(DataError, match="header=False is for text files"):
        read_table(tmp_path / "in", header=False)


def test_lists_in_a_parquet_file(tmp_path: Path) -> None:
    frame = polars.DataFrame({"a": [[1.0, 2.0], None, [3.0, 4.0]], "b": [1, 2, 2]})
    frame.write_parquet(tmp_path / "t.parquet")
    table = open_file(tmp_path / "t.parquet")
    assert table.names == ("a[0]", "a[1]", "b")
    assert fit_encoder(table) == fit_encoder(frame)
    assert open_table(frame).numbers is not None


# ------------------------------------------------------------------------------------------------------------------ sheets


def _sheet(rows: list[list[Any]]) -> str:
    cells = []
    for row in rows:
        line = []
        for value in row:
            if value is None:
                line.append("<c/>")
            elif isinstance(value, str):
                line.append(f'<c t="inlineStr"><is><t>{value}</t></is></c>')
            else:
                line.append(f"<c><v>{value}</v></c>")
        cells.append(f"<row>{''.join(line)}</row>")
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<?xml version="1.0"?><worksheet xmlns="{space}"><sheetData>{"".join(cells)}</sheetData></worksheet>'


def write_book(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    """Write the smallest .xlsx that holds these sheets."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    listed = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
    links = "".join(
        f'<Relationship Id="r{i}" Type="{relations}/worksheet" Target="worksheets/s{i}.xml"/>' for i in range(1, len(sheets) + 1)
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>')
        file.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r0" Type="{relations}/officeDocument"'
            ' Target="xl/workbook.xml"/></Relationships>',
        )
        file.writestr("xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>{listed}</sheets></workbook>')
        file.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{links}</Relationships>')
        for i, rows in enumerate(sheets.values(), 1):
            file.writestr(f"xl/worksheets/s{i}.xml", _sheet(rows))
    return path


SHEET = [
    *[["Sales", None, None], [None, None, None], ["day", "sold", "who"], ["2024-01-31", 1, "a"], ["2024-02-29", 2.5, "b"]],
    *[["2024-03-31", None, "c"], ["Total", 3.5, None]],
]


def test_few_names_above_words_are_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,,,b\nx,y,z,u\nz,u,v,x\n")
    assert read_table(path).columns == ["a", "unnamed_1", "unnamed_2", "b"]


def test_a_sheet_with_a_title_and_a_total(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    book = write_book(tmp_path / "t.xlsx", {"empty": [], "May": SHEET, "June": [["a"], [1]]})
    with pytest.warns(UserWarning, match=r"t\.xlsx: ") as caught:
        frame = read_table(book)
    assert frame.to_dict(as_series=False) == {
        "day": ["2024-01-31", "2024-02-29", "2024-03-31"],
        "sold": [1.0, 2.5, None],
        "who": ["a", "b", "c"],
    }
    told = " ".join(str(entry.message) for entry in caught)
    for part in ("'May' is read, and not 'June'", "lines above the header", "row of totals"):
        assert part in told
    (tmp_path / "w.xlsx").write_bytes(b"\xff\x00nonsense")
    with pytest.raises(DataError, match="cannot be read as a sheet"):
        read_table(tmp_path / "w.xlsx")
    with pytest.raises(DataError, match="sheets are empty"):
        read_table(write_book(tmp_path / "e.xlsx", {"empty": []}))


def test_a_sheet_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("python_calamine")
    sheets = {"cover": [["Sales"]], "May": [["a"], [1], [2]], "June": [["a", "b"], [3, 4]], "empty": []}
    book = write_book(tmp_path / "t.xlsx", sheets)
    assert read_table(book, sheet="May").to_dict(as_series=False) == {"a": [1, 2]}
    assert open_file(book, sheet="June").names == ("a", "b")
    assert sheets_of(book) == ("cover", "May", "June", "empty")
    assert sheets_of(tmp_path / "t.csv") == sheets_of("-") == ()
    with pytest.warns(
        UserWarning, match=r"'June' is read, and not 'cover', 'May'; mn.tables.read_table\(path, sheet='May'\) reads another"
    ):
        assert read_table(book).columns == ["a", "b"]  # the first of several rows and columns
    monkeypatch.setattr(sys, "stdin", Stdin(book.read_bytes()))
    assert read_table("-", sheet="May").columns == ["a"]
    with pytest.raises(
        DataError, match=r"t\.xlsx has no sheet 'may'; did you mean 'May'\? Its sheets are: 'cover', 'May', 'June', 'empty'"
    ):
        read_table(book, sheet="may")
    with pytest.raises(DataError, match="0 data rows: its sheet 'empty' is empty"):
        read_table(book, sheet="empty")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.write(book, "t.xlsx")
    assert sheets_of(tmp_path / "t.zip") == tuple(sheets)
    assert read_table(tmp_path / "t.zip", sheet="May").columns == ["a"]


def test_a_sheet_of_what_is_no_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FRAME.write_csv(tmp_path / "t.csv")
    FRAME.write_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        with pytest.raises(DataError, match=rf"{name}: sheet is for workbooks \(\.xlsx, .*; leave it out here"):
            read_table(tmp_path / name, sheet="May")
    for kind in ("csv", "parquet", "jsonl"):
        monkeypatch.setattr(sys, "stdin", Stdin(_as_bytes(kind)))
        with pytest.raises(DataError, match="standard input: sheet is for workbooks"):
            read_table("-", sheet="May")


def test_a_sheet_with_names_that_look_the_same(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    book = write_book(tmp_path / "a.xlsx", {"data": [["caf\u00e9", "cafe\u0301"], [1, 2], [3, 4]]})
    with pytest.raises(DataError, match="different Unicode characters"):
        read_table(book)


def test_a_sheet_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = write_book(tmp_path / "t.xlsx", {"May": SHEET})
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'manynets\[excel\]'"):
        read_table(book)


def test_what_was_piped_in_can_be_read_before() -> None:
    assert open_file("-", content=b"a;b\n1;2\n").names == ("a", "b")
    assert open_file("-", content=b"1;2\n3;4\n", header=False).rows == 2


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="standard input is closed"):
        read_table("-")
