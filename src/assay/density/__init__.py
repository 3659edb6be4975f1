"""Density: model a distribution over binary vectors, and sample from it."""
