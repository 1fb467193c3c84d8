"""The catalogue as arrays over the partitions of Spark, held equal to `domain.reference` by the tests.

Imports pyspark, pandas, `domain` and `schemas`.
"""
