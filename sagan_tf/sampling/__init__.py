"""Pictures of a generator for people and for other programs: what `python -m sagan_tf.sample` makes."""
