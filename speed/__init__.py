"""The speed layer: from a click to features in milliseconds. Its parts meet only in topics."""
