"""Single images: file names, limits, metadata, decoding, and the count of unreadable images."""
