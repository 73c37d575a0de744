"""The engine's one error."""


class EngineError(Exception):
    """A run cannot be started, resumed or finished as asked; the message says what is wrong and what was expected."""
