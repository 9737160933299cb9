"""Reading text and binary table files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from manynets.display import counted
from manynets.errors import DataError, OptionError
from manynets.tables import delimited, fit_encoder, lines, read_table, sniffing, understand
from manynets.tables.source import Source


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns(frame: Any) -> dict[str, list[Any]]:
    """Return a polars frame as lists."""
    return frame.to_dict(as_series=False)  # type: ignore[no-any-return]


def test_a_plain_file_has_the_types_of_its_cells(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "n,x,t\n1,0.5,a\n2,-1e3,b c\n"))
    assert columns(frame) == {"n": [1, 2], "x": [0.5, -1000.0], "t": ["a", "b c"]}
    assert frame.dtypes == [polars.Int64, polars.Float64, polars.String]


def test_case_24_byte_order_mark(tmp_path: Path) -> None:
    assert columns(read_table(write(tmp_path, b"\xef\xbb\xbfid,v\n1,2\n"))) == {"id": [1], "v": [2]}


def test_case_25_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,café\n".encode("latin-1"))
    with pytest.warns(
        UserWarning,
        match=r"not UTF-8 \(byte 0xe9 at offset 9\) and is read as cp1252; .* mn.tables.read_table\(path, encoding='cp1251'\) reads",
    ):
        frame = read_table(path)
    assert columns(frame) == {"a": [1], "b": ["café"]}
    assert read_table(path, encoding="latin-1").equals(frame)
    with pytest.raises(OptionError, match="'utf-9'"):
        read_table(path, encoding="utf-9")
    with pytest.raises(DataError, match="is not ascii: byte 0xe9 at offset 0"):
        read_table(write(tmp_path, b"\xe9,b\n1,2\n"), encoding="ascii")
    with pytest.raises(DataError, match=r"is not utf-8: byte 0x81 at offset 0; .* 'shift_jis' for Japanese"):  # no letter in cp1252
        read_table(write(tmp_path, b"\x81,b\n1,2\n"))
    with pytest.raises(DataError, match=r"is not utf-8: byte 0xe9 at offset 12; .*encoding='latin-1'"):
        read_table(write(tmp_path, "a,b\né,ü\n".encode() + b"1,\xe9\n"))  # most letters are


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_known_by_its_mark_or_its_zeros(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "a,b\n1,é\n2,x\n".encode(encoding))
    assert columns(read_table(path)) == {"a": [1, 2], "b": ["é", "x"]}
    assert columns(read_table(path, encoding=encoding)) == {"a": [1, 2], "b": ["é", "x"]}
    with pytest.raises(DataError, match="0x00 at offset 1"):
        read_table(write(tmp_path, b"a\0\0\0b,c\n1,2\n"))


def test_case_25_a_bad_byte_far_into_the_file(tmp_path: Path) -> None:
    head = "a,b\n" + "1,é\n" * 400_000
    with pytest.raises(DataError, match=f"byte 0xff at offset {len(head.encode()) + 2}"):
        read_table(write(tmp_path, head.encode() + b"2,\xff\n"))


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_case_26_delimiters(tmp_path: Path, sign: str) -> None:
    text = "a,b,c\n1,2.5,u\n3,4.5,v\n".replace(",", sign)
    assert columns(read_table(write(tmp_path, text))) == {"a": [1, 3], "b": [2.5, 4.5], "c": ["u", "v"]}


def test_case_26_decimal_comma(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a;b;c\n1,5;2;x,y\n-2,25;;z\nNA;3;z\n"))
    assert columns(frame) == {"a": [1.5, -2.25, None], "b": [2, None, 3], "c": ["x,y", "z", "z"]}


def test_case_26_a_delimiter_within_quotes_does_not_count(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, 'a;b\n"1,2,3";"x;y"\n"4,5,6";"z\nz"\n'))
    assert columns(frame) == {"a": ["1,2,3", "4,5,6"], "b": ["x;y", "z\nz"]}


def test_case_26_no_delimiter_fits(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"comma, semicolon, tab, bar .*comma 25%.*give delimiter"):
        read_table(write(tmp_path, "a,b\n1\n2\n3\n"))
    with pytest.raises(DataError, match="header is one field, but the rows are split by semicolon"):
        read_table(write(tmp_path, "a\n1;2\n3;4\n"))


def test_case_26_the_delimiter_given_wins(tmp_path: Path) -> None:
    path = write(tmp_path, "a:b\n1:2\n")
    assert columns(read_table(path, delimiter=":")) == {"a": [1], "b": [2]}
    assert columns(read_table(write(tmp_path, "a\tb\n1\t2\n", "t.txt"), delimiter="tab")) == {"a": [1], "b": [2]}
    with pytest.raises(OptionError, match="single character"):
        read_table(path, delimiter="::")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "price",
            r"text is 'price', but must be a list of the columns that stay text, such as \['code'\], or .* text=encoder.forms",
        ),
        (5, "text is 5"),
        ({"price": "number"}, "text has 'number' for the column 'price', but must be a list"),
    ],
)
def test_what_stays_text_is_given_as_a_list_or_as_forms(tmp_path: Path, text: Any, told: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("price,p\n1,2\n", encoding="utf-8")
    with pytest.raises(OptionError, match=told):
        read_table(path, text=text)


def test_case_27_a_single_column_is_not_split_on_a_letter(tmp_path: Path) -> None:
    assert columns(read_table(write(tmp_path, "height\nheron\nhen\n"))) == {"height": ["heron", "hen"]}


def test_case_28_na_text_stays(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "country,n,x\nNA,1,1.5\nDE,NA,null\n,?,NaN\n"))
    assert columns(frame) == {"country": ["NA", "DE", None], "n": [1, None, None], "x": [1.5, None, None]}
    assert {column.name: column.kind for column in understand(frame)} == {"country": "categorical", "n": "numeric", "x": "numeric"}
    assert "country=NA" in fit_encoder(frame).feature_names


def test_excels_missing_values_in_front_begin_no_comment(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "a,b\n1,2\n#N/A,4\n#REF!,5\n3,4\n"))
    assert columns(frame) == {"a": [1, None, None, 3], "b": [2, 4, 5, 4]}


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n", "a,b", "\ufeff", "\ufeffa,b\n"])
def test_case_29_empty_or_header_only(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match="0 data rows"):
        read_table(write(tmp_path, content))
    with pytest.raises(DataError, match="0 data rows"):
        read_table(write(tmp_path, gzip.compress(content.encode()), "t.csv.gz"))


def test_case_21_duplicate_names_in_a_file(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"names occur twice: 'a' is called 'a_2', 'c' is called 'c_3', 'c' is called 'c_4'"):
        frame = read_table(write(tmp_path, "a,c_2,c,a,c, c \n1,2,3,4,5,6\n"))
    assert frame.columns == ["a", "c_2", "c", "a_2", "c_3", "c_4"]


@pytest.mark.parametrize(
    ("line", "fields"), [("7", 1), ("7,8", 2), ("7,8,9,10", 4), ("7,,", 3)], ids=["one", "short", "long", "whole"]
)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_ragged_line_is_named(tmp_path: Path, line: str, fields: int, quoted: bool) -> None:
    first = '"1","2,2","3"' if quoted else "1,2,3"
    path = write(tmp_path, f"a,b,c\n{first}\n4,5,6\n{line}\n4,5,6\n")
    if fields == 3:
        assert read_table(path).get_column("c").to_list() == [3, 6, None, 6]
    else:
        with pytest.raises(DataError, match=f"line 4 has {counted(fields, 'field')}, but the header has 3"):
            read_table(path)


def test_a_ragged_line_behind_a_cell_of_two_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 4 has 1 field"):
        read_table(write(tmp_path, 'a,b\n"x\ny",2\n3\n4,5\n6,7\n8,9\n'))


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    assert columns(read_table(write(tmp_path, "\na,b\n\n\n1,2\n\n,\n3,4\n\n\n"))) == {"a": [1, None, 3], "b": [2, None, 4]}
    assert columns(read_table(write(tmp_path, "a\r\n1\r\n\r\n3\r\n"))) == {"a": [1, None, 3]}


def test_a_later_row_that_does_not_fit_the_first_ones(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i},{i},{i}\n" for i in range(3000))
    with pytest.warns(
        UserWarning, match=r"'word': 1 of 3001 cells is no number .* the first is 'x' in row 3000 \(counted from 0\)"
    ):
        frame = read_table(write(tmp_path, f"whole,half,word,gap\n{rows}1,2.5,x,NA\n"))
    assert frame.dtypes == [polars.Int64, polars.Float64, polars.Int64, polars.Int64]
    assert frame.row(-1) == (1, 2.5, None, None)
    assert frame.row(2999) == (2999, 2999.0, 2999, 2999)


def test_codes_stay_text(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "zip,card,neg\n01234,1234567890123456789,-0.5\n98765,1234567890123456780,0\n"))
    assert columns(frame) == {"zip": ["01234", "98765"], "card": ["1234567890123456789", "1234567890123456780"], "neg": [-0.5, 0.0]}


def test_blanks_are_taken_off(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, " age , work,pay\n 39, State-gov , \n 40,  ,+2.5\n"))
    assert columns(frame) == {"age": [39, 40], "work": ["State-gov", None], "pay": [None, 2.5]}


@pytest.mark.filterwarnings("ignore:.*empty rows at the end")
@pytest.mark.parametrize("chunk", [2, 3, 4, 5, 7, 1 << 17])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_blanks_are_found_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, delimiter: str) -> None:
    monkeypatch.setattr(lines, "SMALL_CHUNK", chunk)
    monkeypatch.setattr(delimited, "BYTES_A_CELL", 1000)
    random = np.random.default_rng(chunk)
    monkeypatch.setattr(sniffing, "HEAD_ROWS", 0)  # the look at the first rows would find most of them
    wide = ["\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u205f", "\u3000"]
    signs = ["a", "b c", " ", "  ", *wide, "\v", "\f", "\t" if delimiter != "\t" else "q", "é", "–", "あ", '" x"', '"x\r"', '""']
    signs += [f'"x{delimiter} y"', '"a""b "']
    found: list[str] = []
    for _ in range(25):
        few = ["w", "w", "w", *(random.choice(signs, 2, replace=False) if random.random() < 0.7 else ())]
        cells = [["".join(random.choice(few, int(random.integers(1, 3)))) for _ in range(3)] for _ in range(4)]
        cells = [[cell if '"' not in cell else next(sign for sign in few if '"' in sign) for cell in row] for row in cells]
        end = str(random.choice(["\n", "\r\n"]))
        body = end.join(delimiter.join(row) for row in [["one", "two", "three"], ["w", "w", "w"], *cells]) + end
        path = write(tmp_path, body.removesuffix(("", end, "\n")[random.integers(3)]))
        lazily = read_table(path, delimiter=delimiter)
        with monkeypatch.context() as patch:
            patch.setattr(delimited, "BYTES_A_CELL", 0)  # strip all without a look
            assert lazily.equals(read_table(path, delimiter=delimiter)), body
        found.append(lines.blanks_in(Source(name=str(path), file=path), delimiter))
    assert {"", "spaces", "any"} == set(found)


def test_a_delimiter_in_quotes_does_not_hide_a_short_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b\n"x,y",1\nz\n')  # as many commas as two whole lines have
    with pytest.raises(DataError, match=r"line 3 has 1 field, but the header has 2"):
        read_table(path)
    with pytest.raises(DataError, match=r"line 3 has 1 field, but the header has 2"):
        read_table(write(tmp_path, '"a,a",b\nx,1\nz\n'))


def test_quotes_and_gaps_need_no_walk_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "blank_lines", None)
    frame = read_table(write(tmp_path, '"a,a",n,"b"\n"x,y",1,"u"\n"",,\n"\n,",3,\n'))
    assert columns(frame) == {"a,a": ["x,y", None, ","], "n": [1, None, 3], "b": ["u", None, None]}


def test_a_zipped_file_with_gaps_at_the_end_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = gzip.compress(b"a,b\n x,1\n y,\n")
    path = write(tmp_path, content, "t.csv.gz")
    for most in (0, 1 << 28):  # unzipped by polars, and here
        monkeypatch.setattr(delimited, "MOST_UNZIPPED", most)
        assert columns(read_table(path)) == {"a": ["x", "y"], "b": [1, None]}
    with pytest.raises(DataError, match="cannot be read"):
        read_table(write(tmp_path, content[:-8] + bytes(8), "t.csv.gz"))


def test_a_column_without_a_name(tmp_path: Path) -> None:
    assert columns(read_table(write(tmp_path, ",a\n0,5\n1,6\n"))) == {"unnamed_0": [0, 1], "a": [5, 6]}


def test_all_formats_hold_the_same_table(tmp_path: Path) -> None:
    frame = polars.DataFrame({"n": [1, 2], "x": [0.5, None], "t": ["a", "NA"]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    (tmp_path / "t.TSV.GZ").write_bytes(gzip.compress((tmp_path / "t.tsv").read_bytes()))
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_ipc(tmp_path / "t.arrow")
    frame.write_ipc(tmp_path / "t.feather", compression="lz4")
    frame.write_ipc_stream(tmp_path / "s.ipc")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 8
    for name in names:
        assert columns(read_table(tmp_path / name)) == {"n": [1, 2], "x": [0.5, None], "t": ["a", "NA"]}, name


def test_what_is_no_table_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match=r"ending is not one of \.csv"):
        read_table(write(tmp_path, "a,b\n", "t.doc"))
    for name, advice in (("t.tar", "unpack it"), ("t.csv.lz4", "decompress the file"), ("t.json", "one object a line")):
        with pytest.raises(DataError, match=f"ending is not one of .*; .*{advice}"):
            read_table(write(tmp_path, "a,b\n", name))
    for name in ("t.parquet", "t.arrow", "t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.csv.zst", "t.csv.zip"):
        with pytest.raises(DataError, match=r"is text, whatever its ending: it begins with 'nonsense'; rename it to t\.csv"):
            read_table(write(tmp_path, "nonsense\nmore\n", name))
        with pytest.raises(DataError, match=r"cannot be (read|decompressed)"):
            read_table(write(tmp_path, b"\xff\xfe\x00nonsense", name))
    whole = gzip.compress(("a,b\n" + "1,2\n" * 5000).encode())
    with pytest.raises(DataError, match="cannot be read"):
        read_table(write(tmp_path, whole[: len(whole) // 2], "t.csv.gz"))
    polars.DataFrame({"a": []}).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="0 data rows"):
        read_table(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="are for text files"):
        read_table(tmp_path / "e.parquet", encoding="utf-8")


def test_the_last_column_may_have_gaps_at_no_cost_in_truth(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n" + "1,\n" * 10 + "2,3\n")
    assert read_table(path).get_column("b").null_count() == 10
