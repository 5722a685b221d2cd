"""Data: TFDS sets decoded once into a cache, a resumable order, and batches for each setting."""
