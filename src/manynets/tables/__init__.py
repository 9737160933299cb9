"""Tables: what the columns are, how they become a float32 matrix, and reading them from files."""

from __future__ import annotations

from manynets.tables.encoder import Block, TableEncoder
from manynets.tables.encoder_fitting import fit_encoder
from manynets.tables.files import TABLE_ENDINGS, open_file, read_table
from manynets.tables.frames import open_table
from manynets.tables.inspection import Inspection, inspect_table
from manynets.tables.kinds import Column
from manynets.tables.missing import MISSING_TOKENS
from manynets.tables.schema import understand
from manynets.tables.table import Table
from manynets.tables.target import match_labels, split_target

__all__ = [
    "MISSING_TOKENS", "TABLE_ENDINGS", "Block", "Column", "Inspection", "Table", "TableEncoder", "fit_encoder", "inspect_table",
    "match_labels", "open_file", "open_table", "read_table", "split_target", "understand",
]  # fmt: skip
