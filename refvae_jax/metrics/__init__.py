"""Scores of representations, swaps and generated images: arrays in, numbers out."""
