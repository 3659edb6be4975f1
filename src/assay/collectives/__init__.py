"""A sum over ranks: ring, halving-doubling and tree, gradient buckets, and what they cost."""
