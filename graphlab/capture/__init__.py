"""Recording what a network computes: a module and example inputs -> :class:`Program`."""

from graphlab.capture.export import capture
from graphlab.capture.program import CaptureError, Operation, Program, Value

__all__ = ["CaptureError", "Operation", "Program", "Value", "capture"]
