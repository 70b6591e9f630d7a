"""Load generators: wrk where it fits, our own only where none does."""
