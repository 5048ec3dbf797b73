"""The playground: the language in a browser, without a server."""
