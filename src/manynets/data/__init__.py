"""Rows on their way to a network: splits, and batches that are permuted and gathered on the device."""
