"""The smallest program that an image can be built from, for the cases of the image's items."""
