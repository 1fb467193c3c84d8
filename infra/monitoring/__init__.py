"""What watches the platform: alert rules, boards and the way of one event. Imports `infra` and `schemas`."""
