"""Actions: what happens between the steps of a training run, such as logging, saving and evaluating."""
