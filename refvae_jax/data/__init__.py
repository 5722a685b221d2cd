"""Data: sets decoded once into a cache, a resumable order, and batches for each supervision."""
