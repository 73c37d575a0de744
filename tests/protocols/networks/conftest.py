from tests.toy_zoos import cnn_zoo, sine_zoo  # noqa: F401
