"""What a checkpoint can do: bits per byte, problems with executed solutions, samples."""
