"""From files to batches: `sources.open_source` opens a data set, `pipeline.training_dataset` batches it."""
