"""A run as one page to look at: what it writes, read back, judged in words and drawn."""
