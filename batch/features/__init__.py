"""The catalogue as native Spark columns, held equal to `domain.reference` by the tests.

Imports pyspark, pandas, `domain` and `schemas`.
"""
