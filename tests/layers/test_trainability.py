"""What is frozen inside of a layer, by the names on the way to it."""

import keras

from kerasgpt.layers.block import TransformerBlock
from kerasgpt.layers.trainability import INNER, inner_flags, set_inner_flags


def built_block():
    block = TransformerBlock(2, 8)
    block.build((None, None, 4))
    return block


def test_what_is_as_the_layer_around_it_is_not_told_of():
    block = built_block()
    assert inner_flags(block) == {}
    block.trainable = False
    assert inner_flags(block) == {}
    assert inner_flags(keras.layers.Dense(2)) == {}


def test_flags_are_told_of_and_set_again_from_the_outside_in():
    block = built_block()
    block.attention.trainable = False
    block.attention.qkv.trainable = True
    block.feed_forward.contract.trainable = False
    flags = {"attention": False, "attention/qkv": True, "feed_forward/contract": False}
    assert inner_flags(block) == {INNER: flags}
    other = built_block()
    set_inner_flags(other, inner_flags(block)[INNER])
    assert inner_flags(other) == inner_flags(block)
    trained = [variable.trainable for variable in block.weights]
    assert trained == [variable.trainable for variable in other.weights]
    assert set(trained) == {True, False}
