"""What the commands do with data and runs: fit, score, calibrate, audit, inspect."""
