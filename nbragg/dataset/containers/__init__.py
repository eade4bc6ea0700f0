"""Files of many images with their labels, one module a format."""
