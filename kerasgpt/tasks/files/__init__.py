"""The files of tasks: what they hold, read line by line, and what came of them so far."""
