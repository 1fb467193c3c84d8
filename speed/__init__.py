"""The speed layer: `speed.job` (Flink, its own environment) and `speed.writer` (feature rows, main environment).

Meets `batch` and `serving` only in topics, stores and artifacts. `speed.job` imports `domain` and `schemas` only.
"""
