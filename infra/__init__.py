"""What everything runs on: settings, logs, metrics and the processes. Imports `domain` and `schemas` only."""
