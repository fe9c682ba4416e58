"""The PPO trainer: phases, losses, rollout, update, checkpoint, health, and the loop over them."""
