"""What every reader and writer shares: whole files or none, what a file holds, small text tables."""
