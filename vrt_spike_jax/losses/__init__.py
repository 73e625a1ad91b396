"""Training losses: pure functions of arrays, one family a file; table.py lists all."""
