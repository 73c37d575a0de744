"""The published ways to train and judge models: each a small class on :class:`graphlab.engine.Protocol`."""
