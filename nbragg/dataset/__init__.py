"""Data sets: many labelled images of one recipe, made anywhere, in any order, each the same whoever makes it."""
