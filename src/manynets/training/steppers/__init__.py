"""Steppers: the ways to make the steps of a run."""
