"""`python -m batch evaluate`: how good is every model on this lake, and for whom? Imports what `batch` may import."""
