"""What language models are judged by."""
