"""Pure functions from a network to side tables: costs, the summary, what a file expects."""
