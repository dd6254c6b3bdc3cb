"""logits -> ids -> text: what generation is, on numpy alone."""
