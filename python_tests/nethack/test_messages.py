"""The compiled reader of messages against regular expressions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.messages import OFFER, PATTERNS, SAID, read

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.facts.grounder import Grounder


def says(text: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """What a message tells, by the compiled reader and by the regular expressions."""
    return says.native.read_message(text), read(text.ljust(256, b"\0"))


says.native = Grounder(load_hypergraph(), 0)._native
SAYING = st.one_of(
    *(st.from_regex(pattern) for pattern in PATTERNS.values()),
    st.from_regex(OFFER).map(lambda text: b"What do you want to eat?" + text),
    st.sampled_from([b"\n", b" you!", b"You ", b"at empty", b" way", b"corpse", b" outside"]),
    st.binary(max_size=6),
)


def test_there_is_a_pattern_for_each_thing_that_is_told():
    assert set(PATTERNS) == set(SAID)


@settings(max_examples=1500, deadline=None)
@given(st.lists(SAYING, max_size=5))
def test_messages_are_read_as_by_the_regular_expressions(sayings):
    native, defined = says(b"".join(sayings)[:256])
    assert native == defined


@pytest.mark.parametrize("text", [
    b"You kick at empty space.", b"You kick at emptiness. You hit it.", b"You misses!",
    b"You  misses!", b"It misses you.", b"It misses you?", b"hits you", b"hits you!", b"stings!",
    b"move out of \n way", b"move out of  way", b"move out of your way", b"move out of x way",
    b"move out of " + 40 * b"x" + b" way", b"move out of " + 41 * b"x" + b" way",
    b"see here corpse", b"see here\ncorpse", b"see here a\ncorpse, a corpse",
    b"feel here " + 60 * b"x" + b"corpse", b"feel here " + 61 * b"x" + b"corpse",
    b"leave the  outside", b"leave the pick\naxe outside", b"leave the pick outside",
    b"leave the " + 20 * b"x" + b" outside", b"leave the " + 21 * b"x" + b" outside",
    b"in a bear pit", b"in the spiked web", b"in a", b"in a  trap", b"trap door", b"trapdoor",
    *(b"What do you want to eat? [" + letters for letters in (
        b"h-k or ?*]", b"h- or ?*]", b"hk or ?*", b"h or ?*j]", b"h]k]", b"[h]",
        b"k-h]", b"-h]", b"h-]", b"--]",
        b"h-\n]", b"\n-k]", b" or ?*]", b"or ?*]", b"]h]", b"", b"k-h-z]", b"\x80-\xff]",
    )),
    b"In what direction?\0Really attack", b"x" * 256, b"x" * 246 + b"You hear  ",
    b"x" * 247 + b"You hear ", b"x" * 248 + b"You hear",
])  # fmt: skip
def test_messages_at_the_edge_of_a_pattern(text):
    native, defined = says(text)
    assert native == defined


@pytest.mark.parametrize("name", PATTERNS)
def test_every_pattern_is_found(name):
    @settings(max_examples=40, deadline=None, database=None)
    @given(st.from_regex(PATTERNS[name]))
    def check(text):
        native, defined = says(text[:256])
        assert native == defined

    check()


def test_a_message_is_as_long_as_nle_has_it():
    with pytest.raises(ValueError, match="at most 256 bytes"):
        says.native.read_message(np.zeros(257, np.uint8).tobytes())
