"""What was trained -> one verified folder."""
