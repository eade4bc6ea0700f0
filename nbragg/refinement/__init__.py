"""From pixels to parameters: likelihood, steps, stages."""
