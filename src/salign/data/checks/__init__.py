"""What is wrong with the images, maps and rows of a manifest."""
