"""The PPO trainer: losses, rollout, update, health, the loop over them, and the record it keeps."""
