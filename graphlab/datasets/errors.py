"""What is raised when a data set cannot be had."""


class DatasetError(Exception):
    """A data set is unknown, incomplete or out of reach; the message says which files were looked for, and where."""
