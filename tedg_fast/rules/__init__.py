"""What people do with rule files: check them, look at them at work, convert old ones.

`tedg-rules` (command.py) is the way in. Nothing here needs PyTorch.
"""
