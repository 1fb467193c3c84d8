"""The whole platform, as a person and as a program see it."""
