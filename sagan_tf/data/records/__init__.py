"""TFRecord files: reading them, parsing their records, and finding damage."""
