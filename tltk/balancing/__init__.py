"""Uneven classes: the record `tltk.balance`, and the methods as pure functions of arrays."""

from tltk.balancing.record import METHODS, Balance, balance

__all__ = ["METHODS", "Balance", "balance"]
