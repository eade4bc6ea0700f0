"""What a detector makes of expected photons: spread over pixels, mean and variance of what it writes."""
