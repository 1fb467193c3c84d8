"""Ranks items for a session, behind one protocol; may import numpy, numba (session-kNN only), msgspec and schemas."""
