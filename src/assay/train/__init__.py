"""The one loop that trains with gradients, and what it takes from its surroundings."""
