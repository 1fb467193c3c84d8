"""Chaos: a whole platform under generated load, whose processes are killed while it works, and is judged afterwards."""
