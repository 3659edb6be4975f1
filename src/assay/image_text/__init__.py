"""Image and text: which picture belongs to a text, which text to a picture, and zero-shot classes."""
