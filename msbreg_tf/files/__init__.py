"""What outlives a process: whole writes, checkpoints, logs, and folders with an owner."""
