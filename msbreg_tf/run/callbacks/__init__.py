"""What watches, logs and saves a pretraining run."""
