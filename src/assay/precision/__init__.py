"""Precision: train in fewer bits."""
