"""The layers of a GPT-2, in keras.ops only."""
