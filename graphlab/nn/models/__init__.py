"""Models, a file or a folder each."""
