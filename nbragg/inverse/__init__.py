"""From images back to what made them: derivatives of an image by the parameters of its Setup."""
