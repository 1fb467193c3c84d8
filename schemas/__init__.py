"""What is said: identifiers, events, topics and errors. Imports only the standard library and msgspec."""
