"""The batch layer: archives the event log and recomputes features and models every day. Spark stays in here.

Imports `infra`, `feature_repo`, `domain`, `schemas`; meets `speed` and `serving` only in topics, stores and artifacts.
"""
