"""Watching one game: what the agent saw, which rules applied, what it made of them."""
