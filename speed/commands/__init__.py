"""What an operator does with the stream: one file a command of `python -m speed`. Runs in the main environment."""
