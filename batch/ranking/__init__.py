"""Answers for anyone's session log: read, split, tune, train, rank. It may import domain and schemas only."""
