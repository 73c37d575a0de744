"""What is raised when a golden case itself is wrong."""


class ConformanceError(ValueError):
    """A case that cannot be read or makes no sense; the message names the file."""
