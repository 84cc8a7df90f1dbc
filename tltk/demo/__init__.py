"""The demo: the whole walk, offline, on pictures that an installed package carries."""

from tltk.demo.walk import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
