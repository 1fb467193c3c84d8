"""The serving layer: answers queries with slates and takes events in. Inside it `api` > `adapters` > `pipeline`.

Imports `infra`, `feature_repo`, `domain` and `schemas`; meets `batch` and `speed` only in topics, stores and artifacts.
"""
