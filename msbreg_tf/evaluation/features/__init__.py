"""Images in, features out: exported encoders, caches and files."""
