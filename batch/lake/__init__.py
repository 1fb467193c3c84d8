"""The immutable log, archived from Kafka or imported: a Delta table for each topic.

Imports `infra`, `domain`, `schemas`, deltalake, pyarrow and kafka.
"""
