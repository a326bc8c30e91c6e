"""What `tools/import_tfgan_checkpoint.py` is made of."""
