"""Single images: which files are images, how they are decoded, and what they are refused for."""
