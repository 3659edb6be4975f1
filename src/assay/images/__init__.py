"""Classify images, also from few labels: backbones, and methods around them."""
