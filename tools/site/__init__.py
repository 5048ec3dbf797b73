"""The documentation as a site: the repository's own pages, their `.arch` with figures."""
