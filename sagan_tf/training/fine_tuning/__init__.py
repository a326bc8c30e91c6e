"""Start of a run with the weights of a trained run, and frozen blocks of its discriminator."""
