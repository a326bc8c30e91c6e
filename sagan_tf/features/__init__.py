"""Features of images: networks that extract them, their statistics and the distances between them."""
