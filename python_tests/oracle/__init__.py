"""The oracle of facts: plain Python that computes again what csrc/nethack/ computes of a game.

It is the second opinion that tests hold the compiled facts against, bit for bit, and nothing else
uses it. One observation of one game at a time, every fact from scratch out of whole maps; what C++
keeps up to date piece by piece (boards, counts, floods) is here computed anew each time. It knows
no rules: what applies is checked elsewhere (plain_rules.py).
"""

from oracle.game import Look, Oracle

__all__ = ["Look", "Oracle"]
