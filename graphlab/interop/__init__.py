"""Networks that others published: from their files to modules that graphlab can capture and run."""

from graphlab.interop.conversion import present_names
from graphlab.interop.huggingface import example_inputs, load_module, module_from_config
from graphlab.interop.loading import load_weights, parameters_on_meta

__all__ = [
    "example_inputs",
    "load_module",
    "load_weights",
    "module_from_config",
    "parameters_on_meta",
    "present_names",
]
