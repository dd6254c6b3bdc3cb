"""text <-> ids, exactly and reversibly."""
