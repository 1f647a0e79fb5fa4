"""An export in the formats of other runtimes, each file verified before it is kept.

`table.py` lists the targets. A target is one file: what it refuses, how it writes, how its file is
run again. `convert.py` puts a conversion together, and `verify.py` says how far it is off.
"""
