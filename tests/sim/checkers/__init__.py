"""The laws that hold at the end of every history, one a file."""
