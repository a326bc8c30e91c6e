"""What `tools/prepare_imagenet.py` is made of: unfinished work on disk, shards, and the processes that write them."""
