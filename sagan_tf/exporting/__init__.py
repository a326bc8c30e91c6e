"""Exports of trained networks: SavedModels for TensorFlow Serving, and TFLite models."""
