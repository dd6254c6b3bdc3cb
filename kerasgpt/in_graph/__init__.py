"""What must live inside a SavedModel: core TensorFlow ops only."""
