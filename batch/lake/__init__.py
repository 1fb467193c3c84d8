"""The immutable log, archived from Kafka or imported, in one Delta table.

Imports `infra`, `domain`, `schemas`, deltalake, pyarrow and kafka.
"""
