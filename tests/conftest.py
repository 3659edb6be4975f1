"""Shapes written as jaxtyping annotations are executed in every test, so that they cannot lie."""

import importlib.util

if importlib.util.find_spec("torch") is not None:
    from jaxtyping import install_import_hook

    parts = ("attention", "collectives", "image_text", "images", "nn", "precision", "train")
    install_import_hook([f"assay.{part}" for part in parts], "shapes.checked")
