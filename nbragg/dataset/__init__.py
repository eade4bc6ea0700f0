"""Data sets: many labelled images of one recipe, each the same whoever makes it, and when."""
