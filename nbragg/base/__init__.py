"""What every room uses: errors and warnings, checks of single values, vectors and rotations, constants."""
