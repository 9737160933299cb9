"""What is said of new rows of a wide table."""

from __future__ import annotations

import numpy as np
import polars

from manynets.tables import fit_encoder


def test_remarks_on_many_columns_are_put_together() -> None:
    random = np.random.default_rng(0)
    frame = polars.DataFrame({f"x{i}": random.normal(size=50) for i in range(40)} | {f"c{i}": ["a", "b"] * 25 for i in range(12)})
    encoder = fit_encoder(frame)
    notes = encoder.check(frame[:2].with_columns(polars.col("^x.*$") * 1e6, polars.col("^c.*$") + "!"))
    assert len(notes) == 8 + 1 + 8 + 1
    assert notes[-2] == "4 more columns with categories not seen in training: 'c8', 'c9', 'c10', 'c11'"
    assert notes[-1].startswith("32 more columns with values far outside the training range, which were clipped: 'x8', 'x9',")
    assert notes[-1].endswith(" and 24 more")
