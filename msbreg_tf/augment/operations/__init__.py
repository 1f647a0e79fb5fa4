"""What a view undergoes; one file for each operation, and their table."""
