"""The course of a training: how fast each layer learns, what is tried out first, what is kept, when to go back."""
