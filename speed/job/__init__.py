"""The Flink job: interactions in, changelogs of visitor and item states out.

Imports `domain`, `schemas`, PyFlink, and of `infra` only what needs no package (`logs`, `exits`).
"""
