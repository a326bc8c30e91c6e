"""Image data sets: `sources.open_source` opens one, `pipeline.make_training_dataset` makes batches of it."""
