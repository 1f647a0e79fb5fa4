"""Images to train on and to evaluate with: sources, and the pipelines that read them."""
