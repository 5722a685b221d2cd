"""A trained model applied to image files: one verb per file."""
