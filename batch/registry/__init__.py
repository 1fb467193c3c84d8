"""Which model is served: tracked runs, the gate, promotion, rollback. Only `tracking` imports MLflow, when it opens."""
