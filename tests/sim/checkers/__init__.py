"""What must hold at the end of every history, one law a file."""
