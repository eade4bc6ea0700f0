"""From photons to counts."""
