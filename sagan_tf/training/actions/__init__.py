"""Actions between the training steps, such as logging, saving and evaluating."""
