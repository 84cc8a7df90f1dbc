"""The demo: the whole walk, offline, on pictures that an installed package carries."""
