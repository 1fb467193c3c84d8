"""The feature writer: changelog rows finished into Feast's online bytes.

Imports `infra`, `feature_repo`, `domain`, `schemas`, kafka and redis.
"""
