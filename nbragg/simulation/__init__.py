"""Setups rendered: one image, many images, results."""
