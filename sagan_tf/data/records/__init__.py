"""TFRecord files: how they are read, and how damage is found."""
