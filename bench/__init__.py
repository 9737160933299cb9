"""Benchmarks: manynets and its rivals on the same data, from the same weights, in turn. `python -m bench --help`."""
