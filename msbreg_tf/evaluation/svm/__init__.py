"""One linear SVM for each class: the VOC07 protocol."""
