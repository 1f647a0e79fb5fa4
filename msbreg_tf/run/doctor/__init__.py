"""Whether this machine can train a recipe, and how fast: small checks, and a few real steps."""
