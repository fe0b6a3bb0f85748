"""Parametric meshes of road users, m, x forward. Read `primitives.py` first; `shapes.py` beside it names them all."""
