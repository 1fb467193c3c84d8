"""Models from the log: sessions out of Spark, then everything in numpy and numba. Imports `domain` and `schemas`."""
