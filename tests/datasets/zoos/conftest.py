from tests.toy_zoos import cnn_zoo, inr_zoo, sine_zoo  # noqa: F401
