"""Random views of images: one vectorised keras-cv layer and the draws that decide its views."""
