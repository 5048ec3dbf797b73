"""What is built around the package: the playground, the documentation's pages."""
