"""What came of the experiments: impressions joined with what followed them. Imports `batch.lake`, `domain`, `infra`."""
