"""Estimation: a mean or a root from noisy samples."""
