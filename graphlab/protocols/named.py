"""Importing this registers graphlab's own models and protocols: their modules are imported here, for that alone."""

from graphlab.protocols import node_classification, node_models  # noqa: F401
from graphlab.protocols.networks import cnn_generalisation, inr_classification, inr_editing, models, sine_ssl  # noqa: F401
