"""Ours beside the methods of lightly, at equal compute and at equal time (`__main__.py`)."""
