"""Readers: images and their ground truth from TFDS or from a folder."""
