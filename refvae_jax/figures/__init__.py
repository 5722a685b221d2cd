"""Figures: a model's pictures, and the files that they are written to."""
