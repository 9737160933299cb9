"""From a CSV file with text and gaps to predictions in another file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import manynets as mn

folder = Path(tempfile.mkdtemp())

# Make up some houses: a number with gaps, a category, and the price that follows from them.
random = np.random.default_rng(0)
size = random.uniform(40, 200, 400).round()
town = random.choice(["Bern", "Basel", "Chur"], 400)
price = 3_000 * size + 100_000 * (town == "Bern") + random.normal(0, 20_000, 400)
size_with_gaps = [None if gap else value for gap, value in zip(random.random(400) < 0.05, size, strict=True)]
houses = pl.DataFrame({"size": size_with_gaps, "town": town, "price": price.round()})
houses[:350].write_csv(folder / "houses.csv")
houses[350:].drop("price").write_csv(folder / "new_houses.csv")

# Read the table and train. The model keeps the encoder, which turns the columns into numbers.
table = mn.tables.read_table(folder / "houses.csv")
model = mn.train(table.drop("price"), table["price"], mn.MLP(hidden=(32,)), mn.Recipe(epochs=200), validation=0.2, progress=False)

# Predict rows that have no price yet, and write them next to their features.
new = mn.tables.read_table(folder / "new_houses.csv")
new = new.with_columns(pl.Series("predicted_price", model.predict(new).round()))
new.write_csv(folder / "predictions.csv")

print(new.head())
error = np.abs(new["predicted_price"].to_numpy() - price[350:]).mean()
print(f"The predictions are off by {error:,.0f} on average; the noise in the prices alone is 16,000")
