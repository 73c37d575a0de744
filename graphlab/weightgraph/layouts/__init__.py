"""Layouts: functions that draw a network as a graph. ``layouts()`` lists them, ``layout`` adds one."""

from graphlab.weightgraph.layouts.registry import layout, layouts, wire

__all__ = ["layout", "layouts", "wire"]
