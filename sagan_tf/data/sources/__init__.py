"""Sources of labeled images, one file for each kind of data set."""
