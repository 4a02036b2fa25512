"""What trained methods share: the loop, its checkpoints, corruption, reconstruction."""
