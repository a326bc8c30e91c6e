"""State, updates, loops and what a run writes."""
