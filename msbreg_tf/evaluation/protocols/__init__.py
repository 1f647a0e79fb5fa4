"""How an exported encoder is measured; one file for each protocol, and their table."""
