"""Blocks that three methods or more share."""
