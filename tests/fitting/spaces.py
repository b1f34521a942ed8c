"""Candidates that tests begin with."""

from mirada.fitting.space import Candidate, Space


def smallest(space: Space, model: str) -> Candidate:
    """The first of a network's smallest candidates: the coarsest stem or head, where it has several."""
    return next(candidate for candidate in space.smallest_of_all() if candidate.model == model)
