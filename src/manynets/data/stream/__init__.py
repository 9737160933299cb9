"""Tables larger than memory: split by hash, described in one pass, and shown to the steppers window by window."""
