"""The ground floor: run, trial, comparison, board, claim. NumPy only, no machine-learning library."""
