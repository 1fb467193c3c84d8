"""Experiments: who is shown what, with which probability, and what came of it. Imports what `domain` may."""
