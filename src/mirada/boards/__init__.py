"""What a model takes of a board: memory, flash, operators, time; whether it fits, and what would make it fit."""
