"""What a network becomes."""
