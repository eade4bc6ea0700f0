"""From what a person sets to numbers: the Scene and its making."""
