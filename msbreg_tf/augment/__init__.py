"""Random views of images: a table of operations, their draws, and one vectorised keras-cv layer."""
