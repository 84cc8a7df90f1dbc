"""Tuned, calibrated linear probes and nearest neighbours on features in memory: pure functions of arrays."""
