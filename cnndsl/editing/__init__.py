"""What surrounds a file while it is written: its layout, a language server, a live preview."""
