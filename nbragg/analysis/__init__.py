"""What can be known of an image or a Scene: traces, predictions, statistics, pictures."""
