"""Raw text -> token windows for training."""
