"""Parts of `tools/prepare_imagenet.py`: unfinished work on disk, shards, and the processes that write them."""
