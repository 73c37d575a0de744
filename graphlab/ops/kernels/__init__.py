"""Fast implementations of the operators of :mod:`graphlab.ops`, which find and import them by themselves."""
