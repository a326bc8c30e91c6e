"""Readers and converters of other projects' weights, for `import_tfgan_checkpoint` and `make_efficientnet_lite0`."""
