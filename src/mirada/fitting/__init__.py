"""The best network that a board can carry: the space, what is judged before any training, the search, what is told of it."""
