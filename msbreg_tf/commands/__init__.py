"""What each command line does; `tools/*.py` and `msbreg_tf/train.py` call these."""
