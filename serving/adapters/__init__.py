"""The stores, topics and files behind the pipeline's protocols. Imports `serving.pipeline`, infra and feature_repo."""
