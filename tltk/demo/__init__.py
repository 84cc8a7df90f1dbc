"""The demo: the whole walk, offline, on pictures or texts that installed packages carry."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tltk.demo.texts import TextDemoResult
    from tltk.demo.walk import DemoResult


def run(task: str, out: Path, *, backbone: str, seed: int, say: Callable[[str], None]) -> "DemoResult | TextDemoResult":
    """Run the demo on pictures ("image") or on texts ("text", always with MiniLM)."""
    if task == "text":
        from tltk.demo.texts import run_text_demo

        return run_text_demo(out, seed=seed, say=say)
    from tltk.demo.walk import run_demo

    return run_demo(out, backbone=backbone, seed=seed, say=say)
