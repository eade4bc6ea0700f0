"""What a person sets: crystal, beam, detector, sampling, and everything together as one Setup."""
