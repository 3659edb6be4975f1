"""assay: which method should I use, on my data, at my budget?"""
__version__ = "0.1.0"
