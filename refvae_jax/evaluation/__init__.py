"""Evaluation: from a checkpoint to results.json."""
