"""What is known of a run: its settings, folder, checkpoints and log, and how they are read."""
