"""One pretraining run, from its settings to its export."""
