"""Structure factors from files."""
