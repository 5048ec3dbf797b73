"""The picture of what changes from one network to another."""
