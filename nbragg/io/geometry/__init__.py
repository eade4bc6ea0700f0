"""Geometries of other programs in and out: where panels stand, and what a file says of the beam.

Which formats there are is in the registry, `nbragg.io.geometry.formats`.
"""
