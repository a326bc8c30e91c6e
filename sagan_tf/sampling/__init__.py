"""Images of a trained generator for people and programs, made by `python -m sagan_tf.sample`."""
