"""Control: the best policy of a Markov decision process."""
