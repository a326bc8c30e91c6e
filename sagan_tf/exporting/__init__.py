"""Export of trained networks as SavedModels and TFLite models."""
