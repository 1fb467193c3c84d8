"""What it means: every rule, once, in pure Python. Imports `schemas`, the standard library, msgspec and numpy.

`domain.recommenders` may also import numba. No engine, store, web framework, settings, clock or unseeded randomness.
"""
