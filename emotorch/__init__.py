"""EmoTorch: facial-emotion research, from raw data to a compared and calibrated model."""

__version__ = "0.1.0"
