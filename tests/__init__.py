"""Proof, in tiers by folder: unit, property, suites, integration, e2e, benchmark. May import everything."""
